"""Kernels that were compiled when an image was built, used where nothing of it can be written.

numba only uses a cache that it can write to. So what lies in NUMBA_CACHE_DIR is linked into a folder of this user under
the temporary directory, where kernels that are not there yet are added. Chosen by NUMBA_CACHE_LOCATOR_CLASSES =
"infra.deploy.kernels.FromImage". Compiled code fits one kind of processor: NUMBA_CPU_NAME = "generic" fits all.
"""

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from numba.core.caching import UserProvidedCacheLocator


class FromImage(UserProvidedCacheLocator):
    """NUMBA_CACHE_DIR itself while it can be written, which is when the image is built."""

    def __init__(self, py_func: Any, py_file: str) -> None:
        super().__init__(py_func, py_file)  # type: ignore[no-untyped-call]  # numba has no types
        image = Path(self._cache_path)
        if not _writable(image):
            self._cache_path = str(_linked(image))


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _linked(image: Path) -> Path:
    """A folder with links to all files of the image's; of this user alone, for what lies in it is executed."""
    own = Path(tempfile.gettempdir()) / f"streamgauge-kernels-{os.getuid()}"
    with suppress(OSError):  # without a temporary directory numba says which function it could not place
        own.mkdir(mode=0o700, exist_ok=True)
        if own.stat().st_uid != os.getuid():
            raise RuntimeError(f"{own} belongs to another user: remove it, or set TMPDIR to a directory of this user's")
        folder = own / image.name
        folder.mkdir(exist_ok=True)
        for file in image.glob("*.nb[ic]"):
            with suppress(FileExistsError):  # other processes do so as well
                (folder / file.name).symlink_to(file)
    return own / image.name
