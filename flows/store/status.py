"""What is in a recovery store, also while a flow uses it."""

import pickle
import re
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path

import msgspec

from flows.recovery import Layout
from flows.store.copies import existing_layout
from flows.store.files import Snapshot, all_of, newest_snapshots, part_files, progress, utc
from flows.store.lock import holder
from flows.store.states import opened, sensor_ids, step_of

_SENSOR_STEP = "sensors"


class Step(msgspec.Struct, frozen=True):
    """What is kept of one step. bytes: as stored."""

    step: str
    keys: int
    bytes: int


class Status(msgspec.Struct, frozen=True):
    """in_use_by: process id. epoch, completed_at: the newest completed one. sensors: by topic; sensor_bytes: of all.

    moved: by topic, sensors known in more than one partition. positions: "topic/partition" -> next offset.
    """

    directory: str
    layout: Layout
    in_use_by: str | None
    file_bytes: int
    executions: int
    epoch: int | None
    completed_at: datetime | None
    steps: list[Step]
    sensors: dict[str, int]
    moved: dict[str, int]
    sensor_bytes: int
    positions: dict[str, int]


def read_status(directory: Path) -> Status:
    """Look at a store. Raises StoreError."""
    layout = existing_layout(directory)
    files = part_files(directory, layout.store_partitions)
    with all_of(files) as connections:
        at = progress(connections)
        snapshots = [one for connection in connections for one in newest_snapshots(connection, at.resume_epoch)]
    kept = [one for one in snapshots if one.data is not None]
    keys = Counter(one.step for one in kept)
    sizes: Counter[str] = Counter()
    for one in kept:
        sizes[one.step] += len(one.data or b"")
    where = known_sensors(kept)
    return Status(
        directory=str(directory),
        layout=layout,
        in_use_by=holder(directory),
        file_bytes=sum(one.stat().st_size for one in directory.glob("part-*")),
        executions=at.execution + 1,
        epoch=at.resume_epoch - 1 if at.begun else None,
        completed_at=max((utc(one.created_at) for one in kept), default=None),
        steps=[Step(step, keys[step], sizes[step]) for step in sorted(keys)],
        sensors={topic: len(sensors) for topic, sensors in where.items()},
        moved={topic: moved for topic, sensors in where.items() if (moved := in_several(sensors))},
        sensor_bytes=sum(size for step, size in sizes.items() if step_of(step) == _SENSOR_STEP),
        positions=dict(sorted(position for one in kept if (position := _position(one)) is not None)),
    )


def known_sensors(snapshots: list[Snapshot]) -> dict[str, dict[str, set[str]]]:
    """Topic -> sensor -> the partitions in which the store has a state of it."""
    found: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for one in snapshots:
        if step_of(one.step) == _SENSOR_STEP and (state := opened(one)) is not None:
            topic, partition, _ = one.key.rsplit("/", 2)
            for sensor in sensor_ids(state):
                found[topic][sensor].add(partition)
    return {topic: dict(sensors) for topic, sensors in sorted(found.items())}


def in_several(sensors: dict[str, set[str]]) -> int:
    """How many sensors have a state in more than one partition."""
    return sum(len(partitions) > 1 for partitions in sensors.values())


def _position(one: Snapshot) -> tuple[str, int] | None:
    """Where a partition of the source is read on, if the snapshot is of one."""
    if one.data is None or not re.fullmatch(r".+/\d+", one.key) or re.fullmatch(r".+/\d+/\d+", one.key):
        return None
    state = pickle.loads(one.data)
    if isinstance(state, tuple) and len(state) > 2 and isinstance(state[0], int):
        return one.key, state[0]
    return None
