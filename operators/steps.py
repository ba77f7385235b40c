"""The only Bytewax glue: the classes of this package as stateful steps.

A step is given how to make a key's state; the state is packed with its key's name, because Bytewax does not tell a
builder its key.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import bytewax.operators as op
from bytewax.dataflow import Stream
from bytewax.operators import KeyedStream, StatefulBatchLogic
from typing_extensions import override

from operators.batches import Rows
from operators.clock import Announcer, ClockOutput, PartitionClock, ShardBatch, Tick
from operators.intake import IntakeBatch
from operators.meter import UNMETERED, Meter
from operators.panes import PaneMessage
from operators.sensors import SensorOutput, SensorShard
from operators.state import pack, unpack
from operators.windows import WindowShard

Packed = tuple[str, tuple[int, bytes]]


class _Stateful(Protocol):
    def snapshot(self) -> tuple[Any, ...]: ...
    def load(self, state: tuple[Any, ...]) -> None: ...


S = TypeVar("S", bound=_Stateful)
V = TypeVar("V")
W = TypeVar("W")


@dataclass(frozen=True, slots=True)
class _Behaviour(Generic[S, V, W]):
    """make: a key's fresh state; name: the key of a value; take and end: what a step does with it; meter: watches."""

    make: Callable[[str], S]
    name: Callable[[V], str]
    take: Callable[[S, list[V]], list[W]]
    end: Callable[[S], list[W]]
    meter: Meter


class _Step(StatefulBatchLogic[V, W, Packed], Generic[S, V, W]):
    """One key's logic; never discarded."""

    def __init__(self, step_id: str, behaviour: _Behaviour[S, V, W], resume: Packed | None) -> None:
        self._step_id = step_id
        self._behaviour = behaviour
        self._name = ""
        self._state: S | None = None
        self._nbytes = 0
        if resume is not None:
            self._name, packed = resume
            self._state = behaviour.make(self._name)
            self._state.load(unpack(packed))
            self._weigh(packed)

    @override
    def on_batch(self, values: list[V]) -> tuple[Iterable[W], bool]:
        if self._state is None:
            self._name = self._behaviour.name(values[0])
            self._state = self._behaviour.make(self._name)
        with self._behaviour.meter.working(self._step_id):
            return self._behaviour.take(self._state, values), StatefulBatchLogic.RETAIN

    @override
    def on_eof(self) -> tuple[Iterable[W], bool]:
        return [] if self._state is None else self._behaviour.end(self._state), StatefulBatchLogic.RETAIN

    @override
    def snapshot(self) -> Packed:
        assert self._state is not None, "a key without values has no snapshot"
        with self._behaviour.meter.packing(self._step_id):
            packed = pack(self._state.snapshot())
        self._weigh(packed)
        return self._name, packed

    def _weigh(self, packed: tuple[int, bytes]) -> None:
        before, self._nbytes = self._nbytes, len(packed[1])
        self._behaviour.meter.packed(self._step_id, self._nbytes, before)


def _stateful(step_id: str, up: KeyedStream[V], behaviour: _Behaviour[S, V, W]) -> KeyedStream[W]:
    def build(resume: Packed | None) -> _Step[S, V, W]:
        return _Step(step_id, behaviour, resume)

    return op.stateful_batch(step_id, up, build)


@dataclass(frozen=True, slots=True)
class Clocked:
    """shards: each shard's batches, keyed by shard; rows: to store."""

    shards: KeyedStream[ShardBatch]
    rows: KeyedStream[Rows]


def clock(
    step_id: str,
    batches: Stream[IntakeBatch],
    *,
    announcer: Announcer,
    make: Callable[[str], PartitionClock],
    meter: Meter = UNMETERED,
) -> Clocked:
    """Event time per partition, idle partitions, splitting into shards."""

    def take(state: PartitionClock, values: list[IntakeBatch | Tick]) -> list[ClockOutput]:
        return [state.on_tick(v) if isinstance(v, Tick) else state.on_batch(v) for v in values]

    def name(value: IntakeBatch | Tick) -> str:
        return value.to if isinstance(value, Tick) else value.source

    told = op.flat_map(f"{step_id}_announce", batches, announcer)
    clocked = _stateful(step_id, told, _Behaviour(make, name, take, lambda state: [state.end()], meter))
    shards = op.flat_map(f"{step_id}_shards", clocked, lambda item: [(batch.shard, batch) for batch in item[1].shards])
    return Clocked(shards, _rows_of(f"{step_id}_rows", clocked))


@dataclass(frozen=True, slots=True)
class Judged:
    """panes: closed panes, keyed by window shard; rows: to store."""

    panes: KeyedStream[PaneMessage]
    rows: KeyedStream[Rows]


def sensors(
    step_id: str,
    shards: KeyedStream[ShardBatch],
    *,
    make: Callable[[str], SensorShard],
    close_at_end: bool,
    meter: Meter = UNMETERED,
) -> Judged:
    """Checks, detectors and panes of every shard."""

    def take(state: SensorShard, values: list[ShardBatch]) -> list[SensorOutput]:
        outputs = [state.on_batch(value) for value in values]
        meter.judged(values, outputs)
        return outputs

    def end(state: SensorShard) -> list[SensorOutput]:
        return [state.end(close_panes=close_at_end)]

    judged = _stateful(step_id, shards, _Behaviour(make, lambda batch: batch.shard, take, end, meter))
    panes = op.flat_map(f"{step_id}_panes", judged, lambda item: [(str(k), message) for k, message in item[1].panes])
    return Judged(panes, _rows_of(f"{step_id}_rows", judged))


def windows(
    step_id: str,
    panes: KeyedStream[PaneMessage],
    *,
    make: Callable[[], WindowShard],
    close_at_end: bool,
    meter: Meter = UNMETERED,
) -> KeyedStream[Rows]:
    """Tumbling and sliding windows of every group."""

    def end(state: WindowShard) -> list[Rows]:
        return state.close_all() if close_at_end else []

    def take(state: WindowShard, values: list[PaneMessage]) -> list[Rows]:
        return state.on_messages(values)

    return _stateful(step_id, panes, _Behaviour(lambda _: make(), lambda _: "", take, end, meter))


def _rows_of(step_id: str, outputs: KeyedStream[Any]) -> KeyedStream[Rows]:
    return op.flat_map(step_id, outputs, lambda item: [(item[0], rows) for rows in item[1].rows])
