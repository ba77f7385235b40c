"""The files of a recovery store: Bytewax's SQLite tables, looked at without disturbing a flow that writes them.

Bytewax numbers executions (`exs`) and tells in `fronts` up to which epoch each worker has completed. A start goes on
with the smallest of these of the newest execution, and with each key's newest snapshot (`snaps`) before that epoch;
`commits` says before which epoch a file no longer has older snapshots.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from flows.settings import SettingsError

REMEDY = (
    "put a backup in its place with `streamgauge state restore DIR`, or begin anew with "
    "`streamgauge state reset --from earliest`, which reads again what Kafka still holds"
)
_MAGIC = b"SQLite format 3\0"
_TABLES = frozenset(("parts", "exs", "fronts", "commits", "snaps"))
_BUSY_S = 10.0
_NEWEST = """
    SELECT step_id, state_key, MAX(snap_epoch), created_at, ser_change FROM snaps
    WHERE snap_epoch < ? GROUP BY step_id, state_key ORDER BY step_id, state_key
"""


class StoreError(SettingsError):
    """The recovery store cannot be used as it is; the message says why and what to do."""


class Snapshot(NamedTuple):
    """A key's newest state. data: as Bytewax pickled it; None for a key that was discarded."""

    step: str
    key: str
    epoch: int
    created_at: str
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a store has come.

    execution: number of the newest start, -1 before the first; resume_epoch: where the next start goes on.
    """

    execution: int
    resume_epoch: int

    @property
    def begun(self) -> bool:
        """Whether an epoch was completed."""
        return self.resume_epoch > 1


def part_files(directory: Path, count: int) -> list[Path]:
    """Where Bytewax keeps its files."""
    return [directory / f"part-{index}.sqlite3" for index in range(count)]


@contextmanager
def reading(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection that only reads. Raises sqlite3.Error.

    Never in a process in which Bytewax has the file open: closing would let go of the locks of both.
    """
    address = f"file:{quote(str(file.absolute()))}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=_BUSY_S, isolation_level=None)) as connection:
        yield connection


def progress(connections: Iterable[sqlite3.Connection]) -> Progress:
    """How far the store in these files has come, as Bytewax computes it."""
    executions: dict[int, tuple[int, int]] = {}
    fronts: dict[tuple[int, int], int] = {}
    for connection in connections:
        for number, workers, resume in connection.execute("SELECT ex_num, worker_count, resume_epoch FROM exs"):
            executions[number] = (workers, resume)
        for number, worker, front in connection.execute("SELECT ex_num, worker_index, worker_frontier FROM fronts"):
            fronts[number, worker] = front
    if not executions:
        return Progress(-1, 1)
    newest = max(executions)
    workers, resume = executions[newest]
    return Progress(newest, min(max(resume, fronts.get((newest, worker), 0)) for worker in range(workers)))


def newest_snapshots(connection: sqlite3.Connection, before_epoch: int) -> Iterator[Snapshot]:
    """What a start would go on from, of one file."""
    for step, key, epoch, created_at, data in connection.execute(_NEWEST, (before_epoch,)):
        yield Snapshot(step, key, epoch, created_at, data)


def utc(text: str) -> datetime:
    """A time as SQLite writes it."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@contextmanager
def all_of(files: Sequence[Path]) -> Iterator[list[sqlite3.Connection]]:
    """Connections to all files that only read. Raises StoreError with the remedy when one is missing or damaged."""
    for file in files:
        _look_at(file)
    with ExitStack() as stack:
        try:
            yield [stack.enter_context(reading(file)) for file in files]
        except sqlite3.Error as error:
            raise StoreError(f"{files[0].parent}: cannot be read ({error}): {REMEDY}") from None


def check(files: Sequence[Path]) -> None:
    """Raises StoreError when files are damaged or do not belong together.

    Bytewax would say the same, but with a page of traces. `quick_check` reads every page once, as the start itself
    does: 0.2 ms per MB.
    """
    for file in files:
        _check_file(file)
    with all_of(files) as connections:
        indices = [row for one in connections for row in one.execute("SELECT part_index, part_count FROM parts")]
        if sorted(indices) != [(index, len(files)) for index in range(len(files))]:
            raise StoreError(f"{files[0].parent}: its part files do not belong together: {REMEDY}")
        resume_epoch = progress(connections).resume_epoch
        for file, connection in zip(files, connections, strict=True):
            [(committed,)] = connection.execute("SELECT COALESCE(MAX(commit_epoch), 0) FROM commits")
            if committed > resume_epoch:
                raise StoreError(
                    f"{file}: is newer (epoch {committed}) than the rest of the store (epoch {resume_epoch}), as when "
                    f"some files are restored alone: {REMEDY}"
                )


def forget_unfinished(files: Iterable[Path], resume_epoch: int) -> None:
    """Take out snapshots of epochs that were never completed; nobody else may use the files. Raises sqlite3.Error.

    Bytewax leaves those of a killed execution where they are. The next one numbers its epochs on from the same one:
    where a key then has nothing to tell of that epoch, the old snapshot would be taken for its newest, with readings in
    it that are read again.
    """
    for file in files:
        with closing(sqlite3.connect(file, timeout=_BUSY_S, isolation_level=None)) as connection:
            connection.execute("DELETE FROM snaps WHERE snap_epoch >= ?", (resume_epoch,))


def _check_file(file: Path) -> None:
    _look_at(file)
    try:
        with reading(file) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if missing := sorted(_TABLES - tables):
                raise StoreError(f"{file}: has no table {', '.join(missing)}, so is no recovery store: {REMEDY}")
            [(found,)] = connection.execute("PRAGMA quick_check(1)").fetchmany(1)
    except sqlite3.Error as error:
        found = str(error)
    if found != "ok":
        raise StoreError(f"{file}: is damaged ({' '.join(found.split())}): {REMEDY}")


def _look_at(file: Path) -> None:
    try:
        with file.open("rb") as opened:
            head = opened.read(len(_MAGIC))
    except FileNotFoundError:
        raise StoreError(f"{file}: is missing: {REMEDY}") from None
    except OSError as error:
        raise StoreError(f"{file}: cannot be read ({error.strerror}): let this user read it, or {REMEDY}") from None
    if head != _MAGIC:
        raise StoreError(f"{file}: is damaged (no SQLite file): {REMEDY}")
