"""The flow's classes driven without Bytewax: random interleaving, batches, exchanges between processes, crashes.

    partition -> PartitionIntake -> PartitionClock -> SensorShard -> WindowShard -> MemoryTables

Between any two objects items arrive in the order they were sent; nothing else is promised, which is less than Bytewax
promises. A snapshot is taken as Bytewax takes it: everything read so far is worked off, then every state is packed. A
crash drops all objects and goes on from the last snapshot; rows that were written stay written.
"""

import pickle
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from flows.parts import WINDOW_SHARDS, Parts
from flows.ports import Ports
from flows.settings import Settings
from operators.batches import Messages, Rows
from operators.clock import Announcer, ClockOutput, PartitionClock, Tick
from operators.intake import NO_WATERMARK, IntakeBatch, PartitionIntake
from operators.sensors import SensorOutput, SensorShard
from operators.state import pack, unpack
from operators.windows import WindowShard
from tests.ports import ABORT, IDLE, Item, MemoryTables, Message, list_ports

State = Any


@dataclass
class _Source:
    """One partition: where it stands in its items, and its intake."""

    intake: PartitionIntake
    at: int = 0
    offset: int = 0


@dataclass
class _Snapshot:
    """Everything to go on from."""

    sources: dict[str, tuple[int, State]] = field(default_factory=dict)
    states: dict[tuple[str, str], State] = field(default_factory=dict)


class Harness:
    """One flow over lists of items, see `tests.ports`; rows go to `tables`.

    exchange: the share of items that are pickled on their way, as between processes.
    snapshot: the chance of a snapshot after each read.
    """

    def __init__(
        self,
        settings: Settings,
        partitions: Mapping[str, Sequence[Item]],
        tables: MemoryTables,
        *,
        rng: Random,
        ports: Ports | None = None,
        exchange: float = 0.3,
        snapshot: float = 0.2,
    ) -> None:
        self._partitions = partitions
        self._tables = tables
        self._rng = rng
        self._exchange, self._snapshot_chance = exchange, snapshot
        self._ports = ports or list_ports(partitions, tables)
        self._aborted: set[tuple[str, int]] = set()
        self._ends: dict[str, int] = {}
        self._saved = _Snapshot()
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Drop everything and start from the last snapshot, with these settings."""
        self._settings = settings
        self._parts = Parts(settings, self._ports)
        self._announce: Announcer = self._parts.announcer()
        self._queues: dict[tuple[str, str, str], deque[Any]] = defaultdict(deque)
        self._sources: dict[str, _Source] = {}
        self.clocks: dict[str, PartitionClock] = {}
        self.shards: dict[str, SensorShard] = {}
        self.windows: dict[str, WindowShard] = {}
        for (kind, name), packed in self._saved.states.items():
            self._state(kind, name).load(unpack(packed))
        for name in self._partitions:
            self._open(name)

    def run(self, *, until: Mapping[str, int] | None = None) -> None:
        """Until every item, or those before `until`, was read and worked off."""
        self._ends = {name: (until or {}).get(name, len(items)) for name, items in self._partitions.items()}
        while unread := self._unread():
            busy = [edge for edge, queue in self._queues.items() if queue]
            choice = self._rng.randrange(len(unread) + len(busy))
            if choice < len(unread):
                self._read(unread[choice])
            else:
                self._deliver(busy[choice - len(unread)])
        self._work_off()

    def finish(self) -> None:
        """The input is at its end."""
        for clock in self.clocks.values():
            self._from_clock(clock.end())
        for name, shard in self.shards.items():
            self._from_shard(name, shard.end(close_panes=self._ports.close_at_end))
        self._work_off()
        if self._ports.close_at_end:
            for window in self.windows.values():
                self._write(window.close_all())

    def snapshot(self) -> None:
        """Work everything off, then keep what to go on from."""
        self._work_off()
        kinds: dict[str, Mapping[str, Any]] = {"clock": self.clocks, "shard": self.shards, "window": self.windows}
        self._saved = _Snapshot(
            {name: (source.at, pickle.dumps(source.intake.snapshot())) for name, source in self._sources.items()},
            {(kind, name): pack(one.snapshot()) for kind, states in kinds.items() for name, one in states.items()},
        )

    def watermark_ms(self) -> int:
        """Up to where windows are closed."""
        known = [clock.watermark_ms for clock in self.clocks.values()]
        return min(known) if len(known) == len(self._partitions) else NO_WATERMARK

    def _open(self, name: str) -> None:
        topic, _, partition = name.rpartition("/")
        at, state = self._saved.sources.get(name, (0, None))
        items = self._partitions[name]
        intake = self._parts.intake(topic, int(partition), None if state is None else pickle.loads(state))
        self._sources[name] = _Source(intake, at, sum(isinstance(item, Message) for item in items[:at]))
        empty = not any(isinstance(item, Message) for item in items)
        if empty or (at and items[at - 1] is IDLE):
            self._send_intake(name, intake.idle())

    def _unread(self) -> list[str]:
        return [name for name, source in self._sources.items() if source.at < self._ends[name]]

    def _read(self, name: str) -> None:
        source, items = self._sources[name], self._partitions[name]
        item = items[source.at]
        if item is ABORT and (name, source.at) not in self._aborted:
            self._aborted.add((name, source.at))
            self.configure(self._settings)
            return
        if not isinstance(item, Message):
            source.at += 1
            self._send_intake(name, source.intake.idle() if item is IDLE else None)
        else:
            messages: list[Message] = []
            for message in items[source.at : min(self._ends[name], source.at + self._rng.choice([1, 2, 7, 400]))]:
                if not isinstance(message, Message):
                    break
                messages.append(message)
            offsets = np.arange(source.offset, source.offset + len(messages))
            source.at += len(messages)
            source.offset += len(messages)
            kafka_ms = np.array([message.kafka_ms for message in messages], np.int64)
            self._send_intake(name, source.intake.feed(Messages([m.payload for m in messages], offsets, kafka_ms)))
        if self._rng.random() < self._snapshot_chance:
            self.snapshot()

    def _send_intake(self, name: str, batch: IntakeBatch | None) -> None:
        if batch is not None:
            for to, item in self._announce(batch):
                self._send("clock", name, to, item)

    def _send(self, kind: str, sender: str, to: str, item: Any) -> None:
        if self._rng.random() < self._exchange:
            item = pickle.loads(pickle.dumps(item))
        self._queues[kind, sender, to].append(item)

    def _work_off(self) -> None:
        while busy := [edge for edge, queue in self._queues.items() if queue]:
            self._deliver(self._rng.choice(busy))

    def _deliver(self, edge: tuple[str, str, str]) -> None:
        kind, _, to = edge
        queue = self._queues[edge]
        items = [queue.popleft() for _ in range(self._rng.randint(1, len(queue)))]
        state = self._state(kind, to)
        if isinstance(state, WindowShard):
            self._write(state.on_messages(items))
            return
        for item in items:
            if isinstance(state, PartitionClock):
                self._from_clock(state.on_tick(item) if isinstance(item, Tick) else state.on_batch(item))
            else:
                self._from_shard(to, state.on_batch(item))

    def _state(self, kind: str, name: str) -> PartitionClock | SensorShard | WindowShard:
        made: dict[str, tuple[dict[str, Any], Callable[[], Any]]] = {
            "clock": (self.clocks, lambda: self._parts.clock(name)),
            "shard": (self.shards, lambda: self._parts.sensor_shard(name)),
            "window": (self.windows, self._parts.window_shard),
        }
        states, make = made[kind]
        if name not in states:
            states[name] = make()
        state: PartitionClock | SensorShard | WindowShard = states[name]
        return state

    def _from_clock(self, output: ClockOutput) -> None:
        self._write(output.rows)
        for batch in output.shards:
            self._send("shard", batch.shard.rpartition("/")[0], batch.shard, batch)

    def _from_shard(self, name: str, output: SensorOutput) -> None:
        self._write(output.rows)
        for number, message in output.panes:
            assert 0 <= number < WINDOW_SHARDS
            self._send("window", name, str(number), message)

    def _write(self, many: Sequence[Rows]) -> None:
        for rows in many:
            self._tables.write(rows)
