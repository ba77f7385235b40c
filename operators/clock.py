"""Event time of one partition: its watermark, and what it adopts while it is idle.

A partition's watermark is made by its intake and depends on its contents only. While a partition is idle it adopts the
smallest watermark of the active ones, so that it does not hold windows back; what it then says about panes that were
closed meanwhile is late (AFTER_IDLE). Windows therefore close by one rule, the minimum over all partitions, and no row
on time can find its window closed.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from operators.batches import AFTER_IDLE, ON_TIME, ReadingBatch, Rows
from operators.intake import NO_WATERMARK, IntakeBatch
from operators.ledger import Ledger
from operators.shards import CodeMap, shard_of, split

STATE_VERSION = 1
NEVER = int(np.iinfo(np.int64).max)
"""The earliest event time of a partition that has had none."""


@dataclass(frozen=True, slots=True)
class Tick:
    """What a partition tells another one: its watermark, and whether it is idle."""

    to: str
    source: str
    watermark_ms: int
    idle: bool


@dataclass(frozen=True, slots=True)
class ShardBatch:
    """What a partition hands to one of its shards.

    shard: "topic/partition/number".
    readings: the shard's rows; None when only time moves on.
    adopted_ms: event time adopted while idle; panes before it are closed whatever the rows say.
    watermark_ms: the partition's watermark after this batch, adopted time included.
    origin_ms: the earliest event time on time that the partition has ever held.
    """

    shard: str
    readings: ReadingBatch | None
    adopted_ms: int
    watermark_ms: int
    origin_ms: int


@dataclass(frozen=True, slots=True)
class ClockOutput:
    """shards: batches to hand on; rows: to store."""

    shards: list[ShardBatch]
    rows: list[Rows]


def crosses(before_ms: int, after_ms: int, pane_ms: int) -> bool:
    """Whether a watermark that moved so has passed the end of a pane."""
    return after_ms // pane_ms > before_ms // pane_ms


class Announcer:
    """Sends a batch to its own partition's clock and, when it matters to them, a tick to every other partition's.

    What it remembers only spares ticks that say nothing new; after a restart each partition ticks once more.
    """

    def __init__(self, *, sources: tuple[str, ...], pane_ms: int) -> None:
        self._sources = sources
        self._pane_ms = pane_ms
        self._told: dict[str, tuple[int, bool]] = {}

    def __call__(self, batch: IntakeBatch) -> list[tuple[str, IntakeBatch | Tick]]:
        """Items keyed by partition."""
        items: list[tuple[str, IntakeBatch | Tick]] = [(batch.source, batch)]
        now = (batch.watermark_ms // self._pane_ms, batch.idle)
        if self._told.get(batch.source) != now:
            self._told[batch.source] = now
            others = [source for source in self._sources if source != batch.source]
            items += [(to, Tick(to, batch.source, batch.watermark_ms, batch.idle)) for to in others]
        return items


class PartitionClock:
    """The clock of one partition; also splits its batches into its shards."""

    def __init__(self, source: str, *, sources: tuple[str, ...], pane_ms: int, shards: int, generation: int) -> None:
        self._source = source
        topic, _, partition = source.rpartition("/")
        self._others = {other: (NO_WATERMARK, False) for other in sources if other != source}
        self._pane_ms = pane_ms
        self._shards = shards
        self._generation = generation
        self._own_ms = NO_WATERMARK
        self._adopted_ms = NO_WATERMARK
        self._origin_ms = NEVER
        self._idle = False
        self._told_idle = False
        self._shard_of = CodeMap(lambda series: shard_of(series.sensor_id, shards))
        self._ledger = Ledger(topic=topic, partition=int(partition), stage="source", generation=generation)

    @property
    def watermark_ms(self) -> int:
        """The partition's watermark, adopted time included."""
        return max(self._own_ms, self._adopted_ms)

    def on_batch(self, batch: IntakeBatch) -> ClockOutput:
        """Take in what the source read, or that it fell idle."""
        before_ms = self.watermark_ms
        rows = [] if batch.rejects is None else [batch.rejects]
        rows += self._idle_event(batch)
        falls_idle = batch.idle and not self._idle and batch.watermark_ms != NO_WATERMARK
        self._own_ms, self._idle = batch.watermark_ms, batch.idle
        for tally in batch.tallies:
            self._ledger.add(tally.bucket, messages=tally.messages, readings=tally.readings, rejected=tally.rejected)
        readings = None if batch.readings is None or not len(batch.readings) else self._judge(batch.readings)
        if self._idle:
            self._adopt()
        return self._hand_on(readings, before_ms, rows, to_all=falls_idle)

    def on_tick(self, tick: Tick) -> ClockOutput:
        """Another partition's time moved on."""
        before_ms = self.watermark_ms
        if tick.source in self._others:
            self._others[tick.source] = (tick.watermark_ms, tick.idle)
        if self._idle:
            self._adopt()
        return self._hand_on(None, before_ms, [])

    def end(self) -> ClockOutput:
        """The input is at its end, or being drained: give out the counts so far."""
        return ClockOutput([], self._ledger.rows())

    def _judge(self, readings: ReadingBatch) -> ReadingBatch:
        """Mark rows about panes that were closed in the partition's absence; note the earliest time on time."""
        lateness = readings.lateness
        on_time = lateness == ON_TIME
        missed = on_time & (readings.time_ms < self._adopted_ms)
        if missed.any():
            lateness = lateness.copy()
            lateness[missed] = AFTER_IDLE
            on_time &= ~missed
            readings = replace(readings, lateness=lateness)
        if on_time.any():
            self._origin_ms = min(self._origin_ms, int(readings.time_ms[on_time].min()))
        return readings

    def _adopt(self) -> None:
        """Time of the slowest active partition, whole panes only; with no active partition nothing moves."""
        active = [watermark for watermark, idle in self._others.values() if not idle]
        if active and (slowest := min(active)) != NO_WATERMARK:
            self._adopted_ms = max(self._adopted_ms, slowest // self._pane_ms * self._pane_ms)

    def _hand_on(
        self, readings: ReadingBatch | None, before_ms: int, rows: list[Rows], *, to_all: bool = False
    ) -> ClockOutput:
        after_ms = self.watermark_ms
        moved = crosses(before_ms, after_ms, self._pane_ms)
        parts = {}
        if readings is not None:
            parts = split(readings, self._shard_of(readings.series, readings.code), self._shards)
        receivers = range(self._shards) if moved or to_all else sorted(parts)
        if moved or self._idle:
            rows = rows + self._ledger.rows()
        shards = [
            ShardBatch(f"{self._source}/{k}", parts.get(k), self._adopted_ms, after_ms, self._origin_ms)
            for k in receivers
        ]
        return ClockOutput(shards, rows)

    def _idle_event(self, batch: IntakeBatch) -> list[Rows]:
        """A row for `events` when the partition falls idle or speaks again; nothing before its first reading."""
        changed, self._told_idle = batch.idle != self._told_idle, batch.idle
        if not changed or self.watermark_ms == NO_WATERMARK:
            return []
        kind = "idle" if batch.idle else "resumed"
        columns: dict[str, Any] = {
            "time": [self.watermark_ms],
            "kind": kind,
            "subject": batch.source,
            "generation": self._generation,
            "detail": "silent and caught up: holds no window back" if batch.idle else "has readings again",
        }
        return [Rows("events", 1, columns)]

    def snapshot(self) -> tuple[Any, ...]:
        """Plain values."""
        others = tuple((source, *told) for source, told in self._others.items())
        times = (self._own_ms, self._adopted_ms, self._origin_ms)
        return (STATE_VERSION, times, self._told_idle, others, self._ledger.state())

    def load(self, state: tuple[Any, ...]) -> None:
        """Go on from `snapshot()`. A partition that is gone is forgotten, a new one unknown until it speaks.

        None counts as idle until its source has said so again: readings may have come while the flow was down, and
        time adopted before they are read would make them late.
        """
        _, (self._own_ms, self._adopted_ms, self._origin_ms), self._told_idle, others, ledger = state
        for source, watermark_ms, _ in others:
            if source in self._others:
                self._others[source] = (watermark_ms, False)
        self._ledger.load(ledger)
