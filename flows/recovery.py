"""The recovery store: made on first use, with what it was made for written beside it, looked at before each start."""

import logging
import os
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
from bytewax.recovery import RecoveryConfig, init_db_dir

from flows.parts import WINDOW_SHARDS
from flows.settings import Settings
from flows.store.files import (
    REMEDY,
    StoreError,
    all_of,
    check,
    forget_unfinished,
    newest_snapshots,
    part_files,
    progress,
)
from flows.store.lock import LOCK_FILES, hold, turn
from flows.store.states import FIRST_VERSIONS, differences, opened, versions
from infra.clickhouse import migrate

STORE_PARTITIONS = 4
"""Files the store consists of; fixed when it is made, and at least the number of processes that can use it."""

LAYOUT_FILE = "layout.json"
ASIDE = "aside-"
"""Begins the name of a directory in the store that holds an earlier store."""
_FORMAT = 2
_SPARE_BYTES = 1_000_000
_PAGE_BYTES = 32_768

logger = logging.getLogger(__name__)


class TopicPartitions(msgspec.Struct, frozen=True):
    """A topic's partitions: how many there were when the store first saw it, and at the newest start."""

    first: int
    now: int


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What state in a store depends on, and what it was made by.

    store_partitions: Bytewax's files. state_versions: see flows/store/states.py. schema: of the tables, the number of
    their newest migration. release: of streamgauge, that made or migrated it. start: where a store without progress
    begins, in place of kafka.start.
    """

    flow: str
    format: int = _FORMAT
    shards_per_partition: int
    window_shards: int
    store_partitions: int = STORE_PARTITIONS
    state_versions: dict[str, int] = msgspec.field(default_factory=FIRST_VERSIONS.copy)
    schema: int = 0
    release: str = ""
    created_at: str = ""
    start: str | None = None
    topics: dict[str, TopicPartitions] = {}

    @classmethod
    def of(cls, flow: str, settings: Settings) -> "Layout":
        """What this configuration needs. flow: a name, or the path of a file, wherever it is seen from."""
        return cls(
            flow=Path(flow).stem,
            shards_per_partition=settings.event_time.shards_per_partition,
            window_shards=WINDOW_SHARDS,
            state_versions=versions(),
            schema=max(one.number for one in migrate.migrations()),
            release=version("streamgauge"),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def open_store(directory: Path, layout: Layout) -> RecoveryConfig:
    """The store in a directory, made when it is not there; this process keeps it locked until it ends.

    Raises StoreError, with one line for people, when it is in use, damaged, or was made for another layout, and when
    the directory cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        answers = hold(directory)
        stored = read_layout(directory, layout)
        if stored is None:
            make_store(directory, layout)
        else:
            _tidy(directory, part_files(directory, stored.store_partitions), look=answers)
    except (OSError, sqlite3.Error) as error:
        raise unwritable(directory, error) from None
    return RecoveryConfig(directory)


def _tidy(directory: Path, files: list[Path], *, look: bool) -> None:
    """Make a store ready to go on from. look: at the whole of it, which who started a cluster does once for all."""
    if look:
        _check_room(directory, _check_states(files))
    # No process of a cluster writes before all of them have come past this.
    with turn(directory):
        with all_of(files) as connections:
            resume_epoch = progress(connections).resume_epoch
        forget_unfinished(files, resume_epoch)


def make_store(directory: Path, layout: Layout) -> None:
    """An empty store in a directory that is locked. Raises StoreError, OSError."""
    _check_room(directory, 0)
    init_db_dir(directory, layout.store_partitions)
    for file in part_files(directory, layout.store_partitions):
        _enlarge_pages(file)
    write_layout(directory, layout)


def _enlarge_pages(file: Path) -> None:
    """Bytewax leaves it to SQLite when to copy its log into the file: every 1,000 pages.

    Of usual pages that is after every epoch, and each snapshot would be written twice. Raises sqlite3.Error.
    """
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")  # with a log the size cannot be changed
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        connection.execute("VACUUM")
        connection.execute("PRAGMA journal_mode = WAL")


def read_layout(directory: Path, layout: Layout) -> Layout | None:
    """The layout of the store in a directory; None when there is no store yet.

    Raises StoreError when the directory holds something else, or a store made for another layout.
    """
    stored = stored_layout(directory)
    if stored is not None:
        _compare(directory, stored, layout)
    return stored


def stored_layout(directory: Path) -> Layout | None:
    """The layout as it is written, None without a store. Raises StoreError when there is something else."""
    file = directory / LAYOUT_FILE
    if not file.exists():
        if others := sorted(one.name for one in contents(directory)):
            raise StoreError(
                f"worker.recovery_dir = '{directory}': holds files ({others[0]}) but no {LAYOUT_FILE}: no recovery "
                "store; name an empty directory"
                + (f", or {REMEDY}" if any(one.startswith("part-") for one in others) else "")
            )
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=Layout)
    except (OSError, msgspec.DecodeError) as error:
        raise StoreError(f"{file}: cannot be read ({error}): {REMEDY}") from None


def write_layout(directory: Path, layout: Layout) -> None:
    """Replace the layout; it is there whole or not at all. Raises OSError."""
    fresh = directory / f"{LAYOUT_FILE}.new"
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(layout), indent=2) + b"\n")
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    fresh.replace(directory / LAYOUT_FILE)


def contents(directory: Path) -> list[Path]:
    """What lies in a store's directory, without locks and stores that were set aside."""
    if not directory.is_dir():
        return []
    return [one for one in directory.iterdir() if one.name not in LOCK_FILES and not one.name.startswith(ASIDE)]


def unwritable(directory: Path, error: OSError | sqlite3.Error) -> StoreError:
    """What an error of the operating system means for a store."""
    why = getattr(error, "strerror", None) or error
    return StoreError(
        f"the recovery store in '{directory}' cannot be written ({why}): make room or let this user write there, or "
        "name another worker.recovery_dir"
    )


def _compare(directory: Path, stored: Layout, layout: Layout) -> None:
    if stored.format > _FORMAT or stored.schema > layout.schema:
        raise StoreError(
            f"the recovery store in '{directory}' is of a newer release (streamgauge {stored.release}, this is "
            f"{layout.release}): upgrade, or put a backup of then in its place with `streamgauge state restore DIR`"
        )
    for name in ("flow", "shards_per_partition", "window_shards"):
        was, now = getattr(stored, name), getattr(layout, name)
        if was != now:
            raise StoreError(
                f"the recovery store in '{directory}' was made with {name} = {was}, the configuration says {now}: set "
                "it back, name another worker.recovery_dir, or begin anew with `streamgauge state reset --from "
                "earliest`"
            )
    older, unusable = differences(stored.state_versions)
    if unusable:
        raise StoreError(
            f"the recovery store in '{directory}' has states this release ({layout.release}) cannot read "
            f"({', '.join(unusable)}): run it with the release that made it (streamgauge "
            f"{stored.release or 'before 0.2'}), or begin anew with `streamgauge state reset --from earliest`"
        )
    if older:
        raise StoreError(
            f"the recovery store in '{directory}' has states of an earlier release ({', '.join(older)}): run "
            "`streamgauge state migrate`"
        )


def _check_states(files: list[Path]) -> int:
    """Bytes of the states a start goes on from. Raises StoreError when one of them cannot be read."""
    check(files)
    size = 0
    with all_of(files) as connections:
        resume_epoch = progress(connections).resume_epoch
        for file, connection in zip(files, connections, strict=True):
            for one in newest_snapshots(connection, resume_epoch):
                size += len(one.data or b"")
                try:
                    opened(one)
                except Exception as error:
                    raise StoreError(
                        f"{file}: the state of {one.step} {one.key} is damaged ({error}): {REMEDY}"
                    ) from None
    return size


def _check_room(directory: Path, snapshot_bytes: int) -> None:
    """Raises OSError when nothing can be written, StoreError when the next snapshots will not find room."""
    probe = directory / f"{LAYOUT_FILE}.new"
    with probe.open("wb") as file:
        file.write(bytes(4096))
        file.flush()
        os.fsync(file.fileno())
    probe.unlink()
    free, needed = shutil.disk_usage(directory).free, snapshot_bytes + _SPARE_BYTES
    if free < needed:
        raise StoreError(
            f"the recovery store in '{directory}' has no room: {free / 1e6:.1f} MB free, an epoch needs about "
            f"{needed / 1e6:.1f} MB: make room, or name a worker.recovery_dir elsewhere"
        )


def note_partitions(directory: Path, counts: Mapping[str, int]) -> tuple[Layout, Layout] | None:
    """Write down how many partitions topics have now; (layout before, layout since), None when nothing changed.

    Of the processes of a cluster one is told of a change. Raises StoreError.
    """
    with turn(directory):
        before = stored_layout(directory)
        if before is None:
            return None
        topics = {
            topic: TopicPartitions(was.first if (was := before.topics.get(topic)) else count, count)
            for topic, count in counts.items()
        }
        since = msgspec.structs.replace(before, topics=before.topics | topics)
        if since == before:
            return None
        write_layout(directory, since)
        return before, since
