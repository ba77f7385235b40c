"""Ports for tests: messages from lists, rows into memory; faults are items of the lists.

    [message, message, ABORT, message, IDLE]

ABORT stops the flow once as a crash would, after what came before it was read; IDLE says the partition fell silent.
An ABORT raises Bytewax's AbortExecution; with several workers the others would then wait for ever, so give `Killed`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Any

import numpy as np
from bytewax.inputs import AbortExecution, FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from typing_extensions import override

from flows.ports import Ports
from operators.batches import Messages, Rows
from operators.intake import Intake, IntakeBatch, MakeIntake, SourceState
from operators.records import TABLES
from operators.registry import Registry


class Fault(Enum):
    """What can happen between two messages."""

    ABORT = "abort"
    IDLE = "idle"


ABORT, IDLE = Fault.ABORT, Fault.IDLE


@dataclass(frozen=True)
class Message:
    """A Kafka message: its payload and time stamp."""

    payload: bytes | None
    kafka_ms: int


Item = Message | Fault


class Killed(Exception):
    """Raised by an ABORT among several workers; it ends them all."""


class ListSource(FixedPartitionedSource[IntakeBatch, tuple[int, SourceState]]):
    """Partitions given as lists of items; a message's offset is its number among its partition's messages.

    rng: draws how many messages are read at a time; without it all up to the next fault.
    """

    def __init__(
        self,
        partitions: Mapping[str, Sequence[Item]],
        make: MakeIntake,
        rng: Random | None,
        abort: type[Exception],
    ) -> None:
        self._partitions, self._make, self._rng, self._abort = partitions, make, rng, abort
        self._aborted: set[tuple[str, int]] = set()

    @override
    def list_parts(self) -> list[str]:
        return list(self._partitions)

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: tuple[int, SourceState] | None) -> "_ListPartition":
        topic, _, partition = for_part.rpartition("/")
        at, state = resume_state or (0, None)
        intake = self._make(topic, int(partition), state)
        return _ListPartition(for_part, self._partitions[for_part], at, intake, self._rng, self._stop_once)

    def _stop_once(self, name: str, at: int) -> None:
        if (name, at) not in self._aborted:
            self._aborted.add((name, at))
            raise self._abort


class _ListPartition(StatefulSourcePartition[IntakeBatch, tuple[int, SourceState]]):
    def __init__(
        self,
        name: str,
        items: Sequence[Item],
        at: int,
        intake: Intake,
        rng: Random | None,
        stop_once: Callable[[str, int], None],
    ) -> None:
        self._name, self._items, self._at, self._intake, self._rng = name, items, at, intake, rng
        self._stop_once = stop_once
        self._offset = sum(isinstance(item, Message) for item in items[:at])
        # A partition that was silent when the flow stopped still is.
        self._silent = not any(isinstance(item, Message) for item in items) or (at > 0 and items[at - 1] is IDLE)

    @override
    def next_batch(self) -> Iterable[IntakeBatch]:
        if self._silent:
            self._silent = False
            batch = self._intake.idle()
            return [] if batch is None else [batch]
        if self._at == len(self._items):
            raise StopIteration
        item = self._items[self._at]
        if isinstance(item, Fault):
            return self._suffer(item)
        most = len(self._items) if self._rng is None else self._rng.choice([1, 3, 50, 400])
        messages: list[Message] = []
        for message in self._items[self._at : self._at + most]:
            if isinstance(message, Fault):
                break
            messages.append(message)
        self._at += len(messages)
        offsets = np.arange(self._offset, self._offset + len(messages))
        self._offset += len(messages)
        kafka_ms = np.array([message.kafka_ms for message in messages], np.int64)
        return [self._intake.feed(Messages([message.payload for message in messages], offsets, kafka_ms))]

    def _suffer(self, fault: Fault) -> list[IntakeBatch]:
        self._at += 1
        if fault is ABORT:
            self._stop_once(self._name, self._at)
        batch = self._intake.idle() if fault is IDLE else None
        return [] if batch is None else [batch]

    @override
    def snapshot(self) -> tuple[int, SourceState]:
        return self._at, self._intake.snapshot()


@dataclass
class MemoryTables:
    """Rows as ClickHouse holds them: of one identity the row of the highest version, the last written of equals."""

    tables: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = field(default_factory=dict)
    written: int = 0

    def write(self, rows: Rows) -> None:
        """Insert."""
        table = TABLES[rows.table]
        stored = self.tables.setdefault(rows.table, {})
        for row in rows.to_dicts():
            missing = row.keys() - {column.name for column in table.columns}
            assert not missing, f"{rows.table} has no columns {missing}"
            key = tuple(row.get(name, "") for name in table.identity)
            old = stored.get(key)
            if old is None or row.get(table.version, 0) >= old.get(table.version, 0):
                stored[key] = row
            self.written += 1

    def final(self, table: str) -> list[dict[str, Any]]:
        """The rows a FINAL query gives, by identity."""
        stored = self.tables.get(table, {})
        return [stored[key] for key in sorted(stored)]


class MemorySink(FixedPartitionedSink[Rows, None]):
    """Writes to MemoryTables, at once."""

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables

    @override
    def list_parts(self) -> list[str]:
        return ["0", "1"]

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_MemoryPart":
        return _MemoryPart(self._tables)


class _MemoryPart(StatefulSinkPartition[Rows, None]):
    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables

    @override
    def write_batch(self, values: list[Rows]) -> None:
        for rows in values:
            self._tables.write(rows)

    @override
    def snapshot(self) -> None:
        return None


def list_ports(
    partitions: Mapping[str, Sequence[Item]],
    tables: MemoryTables,
    *,
    rng: Random | None = None,
    registry: Registry | None = None,
    close_at_end: bool = False,
    abort: type[Exception] = AbortExecution,
) -> Ports:
    """Ports over lists and memory. One source for all builds of a flow, so that an ABORT happens once."""
    sources: list[ListSource] = []

    def source(make: MakeIntake) -> ListSource:
        if not sources:
            sources.append(ListSource(partitions, make, rng, abort))
        return sources[0]

    return Ports(tuple(partitions), source, MemorySink(tables), registry or Registry(), close_at_end)
