"""Bytes as a file, for parsers that are given a path, and how they must tell what is wrong with it."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path


@cache
def _directory() -> Path:
    memory = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(prefix="fuzz-", dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def written(content: bytes, suffix: str) -> Path:
    """The one file of that suffix, with this content from now on."""
    path = _directory() / f"input{suffix}"
    path.write_bytes(content)
    return path


def judge(error: Exception, file: Path) -> None:
    """AssertionError unless it is one line for people that names the file."""
    assert str(error).isprintable(), f"not one line: {error}"
    assert str(file) in str(error)
