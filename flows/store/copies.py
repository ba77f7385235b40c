"""Stores as a whole: copied while a flow runs, put back, set aside, begun anew, taken to this release's states."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from flows.recovery import (
    ASIDE,
    LAYOUT_FILE,
    Layout,
    contents,
    make_store,
    stored_layout,
    unwritable,
    write_layout,
)
from flows.store.files import StoreError, all_of, check, forget_unfinished, newest_snapshots, part_files, progress
from flows.store.lock import alone
from flows.store.states import differences, migrated, versions

_ATTEMPTS = 50


def existing_layout(directory: Path) -> Layout:
    """The layout of a store that must be there. Raises StoreError."""
    layout = stored_layout(directory)
    if layout is None:
        raise StoreError(f"there is no recovery store in '{directory}'; `streamgauge run` makes one")
    return layout


def back_up(directory: Path, target: Path) -> int:
    """Copy a store, also one in use, to an empty or new directory; the epoch at which the copy goes on.

    Raises StoreError.
    """
    layout = existing_layout(directory)
    if contents(target):
        raise StoreError(f"'{target}' is not empty: name a new directory for the backup")
    try:
        target.mkdir(parents=True, exist_ok=True)
        epoch = _copy(part_files(directory, layout.store_partitions), target)
        write_layout(target, layout)
    except (OSError, sqlite3.Error) as error:
        why = getattr(error, "strerror", None) or error
        raise StoreError(f"the backup in '{target}' cannot be written ({why}): make room, or name another") from None
    return epoch


def restore(directory: Path, source: Path) -> Path | None:
    """Put a backup in a store's place; where the store that was there is now. Raises StoreError."""
    layout = stored_layout(source)
    if layout is None:
        raise StoreError(f"there is no backup in '{source}': name the directory `streamgauge state backup` wrote")
    files = part_files(source, layout.store_partitions)
    check(files)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with alone(directory):
            aside = _set_aside(directory)
            _copy(files, directory)
            write_layout(directory, layout)
    except (OSError, sqlite3.Error) as error:
        raise unwritable(directory, error) from None
    return aside


def reset(directory: Path, layout: Layout, start: str) -> Path | None:
    """Begin anew at `start`; where the store that was there is now. Raises StoreError."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with alone(directory):
            aside = _set_aside(directory)
            make_store(directory, msgspec.structs.replace(layout, start=start))
    except (OSError, sqlite3.Error) as error:
        raise unwritable(directory, error) from None
    return aside


def migrate(directory: Path, release: str) -> tuple[list[str], int, Path] | None:
    """Take the states in a store to this release's versions; None when they are already there.

    Returns what was older, how many states were changed, and where a copy of the store as it was is kept. Breaking off
    does no harm: the next run does the rest. Raises StoreError.
    """
    layout = existing_layout(directory)
    older, unusable = differences(layout.state_versions)
    if unusable:
        raise StoreError(
            f"this release ({release}) has no migration for {', '.join(unusable)}: run the flow with the release that "
            f"made the store (streamgauge {layout.release or 'before 0.2'}), or begin anew with `streamgauge state "
            "reset --from earliest`"
        )
    if not older:
        return None
    files = part_files(directory, layout.store_partitions)
    try:
        with alone(directory):
            check(files)
            before = _new_aside(directory)
            before.mkdir()
            _copy(files, before)
            write_layout(before, layout)
            changed = _rewrite(files)
            write_layout(directory, msgspec.structs.replace(layout, state_versions=versions(), release=release))
    except (OSError, sqlite3.Error) as error:
        raise unwritable(directory, error) from None
    return older, changed, before


def _copy(files: Sequence[Path], target: Path) -> int:
    """Copy files as they were at one epoch, which is returned.

    A flow writes on meanwhile, each file in its own transactions. So, in this order: read which epoch E all workers
    have completed, then begin a read transaction in every file. Each then holds all snapshots before E, for Bytewax
    tells that an epoch is completed only when its snapshots are written; and unless a file has been cleared beyond E
    already (`commits`), which takes an epoch to happen, they are the newest ones before E. The files are copied as
    those transactions see them, and what they hold of E and later, some more and some less, is taken out.
    """
    for _ in range(_ATTEMPTS):
        with all_of(files) as connections:
            at = progress(connections)
            for one in connections:
                one.execute("BEGIN")
                one.execute("SELECT part_index FROM parts").fetchall()
            commits = [one.execute("SELECT MAX(commit_epoch) FROM commits").fetchone() for one in connections]
            committed = max(epoch or 0 for (epoch,) in commits)
            if committed > at.resume_epoch or progress(connections).execution != at.execution:
                continue
            for file, connection in zip(files, connections, strict=True):
                with closing(sqlite3.connect(target / file.name, isolation_level=None)) as copied:
                    connection.backup(copied)
                    copied.execute(
                        "UPDATE fronts SET worker_frontier = MIN(worker_frontier, ?) WHERE ex_num = ?",
                        (at.resume_epoch, at.execution),
                    )
                    copied.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            forget_unfinished([target / file.name for file in files], at.resume_epoch)
            return at.resume_epoch
    raise StoreError(f"{files[0].parent}: is written too fast to be copied: try again, or lengthen worker.epoch")


def _rewrite(files: Sequence[Path]) -> int:
    with all_of(files) as connections:
        resume_epoch = progress(connections).resume_epoch
    changed = 0
    for file in files:
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            for one in list(newest_snapshots(connection, resume_epoch)):
                data = migrated(one)
                if data is not None:
                    changed += 1
                    place = (one.step, one.key, one.epoch)
                    where = "step_id = ? AND state_key = ? AND snap_epoch = ?"
                    connection.execute(f"UPDATE snaps SET ser_change = ? WHERE {where}", (data, *place))
            connection.execute("COMMIT")
    forget_unfinished(files, resume_epoch)
    return changed


def _set_aside(directory: Path) -> Path | None:
    """Move what is there into a directory within: the store's own may be a mounted volume."""
    there = contents(directory)
    if not there:
        return None
    aside = _new_aside(directory)
    aside.mkdir()
    # The layout last: without it what is left is no store, with it no part of a store is missing unnoticed.
    for one in sorted(there, key=lambda one: one.name == LAYOUT_FILE):
        one.rename(aside / one.name)
    return aside


def _new_aside(directory: Path) -> Path:
    stamp = f"{ASIDE}{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}"
    names = (stamp if not number else f"{stamp}-{number}" for number in range(1_000))
    return next(directory / name for name in names if not (directory / name).exists())
