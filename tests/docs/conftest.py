"""What the pages of documentation share: a directory like a fresh clone after a demo."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Reader


@pytest.fixture(scope="session")
def after_a_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory like a fresh clone, with what `make demo` leaves behind."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / "docs").symlink_to(ROOT / "docs")
    with reading(folder) as reader:
        reader.run("demo", "--seconds", "3", "--history", "5m")
    return folder


@pytest.fixture(scope="session")
def at_work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory like a fresh clone."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "docs").symlink_to(ROOT / "docs")
    return folder


@contextmanager
def reading(folder: Path) -> Iterator[Reader]:
    """Somebody who types commands in a directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        reader = Reader(folder)
        try:
            yield reader
        finally:
            reader.end()
