"""One flow at a time on a recovery store.

Who starts a flow locks the file `lock`; the worker processes of a cluster share a lock on `workers.lock`, so that those
of a supervisor that was killed are waited for. The system lets go of both when a process ends, however it ends.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from io import TextIOWrapper
from pathlib import Path

from flows.store.files import StoreError

LOCK_FILES = ("lock", "workers.lock", "layout.lock")
_ORPHANS_S = 10.0
_PAUSE_S = 0.05

_held: dict[Path, TextIOWrapper] = {}
"""What this process keeps open until it ends, by directory."""


def hold(directory: Path) -> bool:
    """Lock a store until this process ends; whether this is the process that answers for it.

    False in a worker of a cluster, whose store is locked by the process that started it. Raises StoreError when another
    flow uses it, OSError when the directory cannot be written.
    """
    place = directory.resolve()
    if place in _held:
        return Path(_held[place].name).name == LOCK_FILES[0]
    lock, workers = (place / name for name in LOCK_FILES[:2])
    file = lock.open("a+", encoding="ascii")
    if _taken(file):
        _held[place] = file
        _wait_for_orphans(directory, workers)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        return True
    file.seek(0)
    owner = file.read()
    file.close()
    if owner != str(os.getppid()):
        raise StoreError(
            f"the recovery store in '{directory}' is in use by process {owner or '(unknown)'}: stop that flow first "
            "(SIGTERM), or give this one a worker.recovery_dir of its own"
        )
    shared = workers.open("a+", encoding="ascii")
    flock(shared, LOCK_SH)
    _held[place] = shared
    return False


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Lock a store for a while. Raises StoreError when a flow uses it, OSError when it cannot be written."""
    hold(directory)
    try:
        yield
    finally:
        _held.pop(directory.resolve()).close()


def holder(directory: Path) -> str | None:
    """The id of the process whose flow uses a store, None when none does."""
    file = directory / LOCK_FILES[0]
    if not file.exists():
        return None
    with file.open(encoding="ascii") as opened:
        try:
            flock(opened, LOCK_SH | LOCK_NB)
        except BlockingIOError:
            return opened.read()
    return None


@contextmanager
def turn(directory: Path) -> Iterator[None]:
    """The processes of a cluster one after another. Raises OSError."""
    with (directory / LOCK_FILES[2]).open("a") as file:
        flock(file, LOCK_EX)
        yield


def _taken(file: TextIOWrapper) -> bool:
    try:
        flock(file, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_for_orphans(directory: Path, workers: Path) -> None:
    deadline_s = time.monotonic() + _ORPHANS_S
    with workers.open("a+", encoding="ascii") as file:
        while not _taken(file):
            if time.monotonic() > deadline_s:
                _held.pop(directory.resolve()).close()
                raise StoreError(
                    f"the recovery store in '{directory}' is still in use by worker processes of an earlier run: end "
                    "them first"
                )
            time.sleep(_PAUSE_S)
