"""The sensor step: all that happens to one shard's readings, in offset order.

checks -> verdicts -> rows to store, and panes segment by segment: between two readings at which the partition's
watermark passes a pane's end nothing about panes can change, so what a pane holds does not depend on batch boundaries.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from models.slots import resized, runs
from operators.batches import NO_SEQ, ColumnData, Flags, Ints, Labels, ReadingBatch, Rows, Series
from operators.cadence import Cadence, Gaps
from operators.clock import NEVER, ShardBatch, crosses
from operators.detect import Detection, Verdicts
from operators.episodes import Episodes
from operators.intake import LEDGER_BUCKET, NO_WATERMARK
from operators.ledger import Ledger
from operators.panel import Happening
from operators.panes import PaneMessage, PaneRows, PaneStore
from operators.quality import (
    AFTER_IDLE_READING,
    CONFLICT,
    DUPLICATE,
    EPISODE_NAMES,
    LATE_READING,
    NO_END,
    OK,
    OUT_OF_ORDER,
    QUALITY_NAMES,
    Checked,
    QualityChecks,
)
from operators.records import VERSION_SHIFT
from operators.roster import Roster
from operators.shards import CodeMap

STATE_VERSION = 3

_EVICT_STEP_MS = 3_600_000
"""How often, in event time, silent sensors are looked for."""
_NAMED = 5
"""So many of those that are forgotten are named."""


class Limits(Protocol):
    """What the sensor step asks the registry."""

    def limits(self, series: Series) -> tuple[float, float]:
        """Smallest and largest plausible value; NaN for none."""
        ...

    def interval_ms(self, series: Series) -> float:
        """Expected distance of readings; NaN when not configured."""
        ...

    def time_zone(self, series: Series) -> str:
        """IANA name, "" for UTC."""
        ...


@dataclass(frozen=True, slots=True)
class SensorOutput:
    """rows: to store. panes: (window shard, message) to send on."""

    rows: list[Rows]
    panes: list[tuple[int, PaneMessage]]


class SensorShard:
    """One shard of one partition.

    evict_after_ms: a sensor silent for so long, in event time, is forgotten; at least the horizon of duplicates. 0 for
        never.
    """

    def __init__(
        self,
        name: str,
        *,
        registry: Limits,
        checks: QualityChecks,
        cadence: Cadence,
        detection: Detection,
        panes: PaneStore,
        episodes: Episodes,
        evict_after_ms: int = 0,
        generation: int = 0,
    ) -> None:
        source, _, shard = name.rpartition("/")
        self._name = name
        self._topic, _, partition = source.rpartition("/")
        self._partition = int(partition)
        self._generation = generation
        self._registry = registry
        self._checks = checks
        self._cadence = cadence
        self._detection = detection
        self._panes = panes
        self._episodes = episodes
        self._ledger = Ledger(
            topic=self._topic, partition=self._partition, stage=f"shard {shard}", generation=generation
        )
        self._roster = Roster()
        self._limits = np.empty((0, 2))
        self._slot_of = CodeMap(self._roster.slot)
        # What a pane or a tick still holds of a sensor must have been given out before it is forgotten.
        self._evict_after_ms = max(evict_after_ms, panes.pane_ms) if evict_after_ms else 0
        self._looked_ms = NO_WATERMARK
        self._afresh: dict[str, str] = {}
        self._watermark_ms = NO_WATERMARK
        self._origin_ms = NEVER

    def on_batch(self, batch: ShardBatch) -> SensorOutput:
        """Take in readings, or that time has moved on."""
        before_ms = self._watermark_ms
        self._origin_ms = batch.origin_ms
        rows: list[Rows] = self._afresh_rows(batch.watermark_ms)
        if batch.readings is not None:
            for part in self._parts(batch.readings):
                rows += self._evict(part, batch.adopted_ms) + self._take_in(part, batch.adopted_ms)
        rows += self._close(batch.watermark_ms) + self._episodes.rows()
        self._watermark_ms = batch.watermark_ms
        if not crosses(before_ms, batch.watermark_ms, self._panes.pane_ms):
            # Without readings and without a pane's end the partition has fallen idle: the counts so far are due.
            return SensorOutput(rows + (self._ledger.rows() if batch.readings is None else []), [])
        return SensorOutput(rows + self._ledger.rows(), self._messages())

    def end(self, *, close_panes: bool) -> SensorOutput:
        """The input is at its end, or being drained: give out the counts so far, and the open panes if asked to."""
        if not close_panes:
            return SensorOutput(self._ledger.rows(), [])
        rows = self._close(max(self._watermark_ms, self._panes.last_end_ms())) + self._episodes.rows()
        return SensorOutput(rows + self._ledger.rows(), self._messages(last=True))

    def _messages(self, *, last: bool = False) -> list[tuple[int, PaneMessage]]:
        messages = self._panes.messages(self._name, self._watermark_ms, self._origin_ms, last=last)
        if news := self._episodes.news():
            return [(shard, replace(one, news=news.get(shard, ()))) for shard, one in messages]
        return messages

    def _afresh_rows(self, time_ms: int) -> list[Rows]:
        """Told once after a restart: the detectors that could not go on from their state, or have another model."""
        told, self._afresh = self._afresh, {}
        return self._event_rows([Happening("model_change", time_ms, why, name) for name, why in told.items()])

    def _event_rows(self, happenings: list[Happening]) -> list[Rows]:
        if not happenings:
            return []
        sensor_id = self._roster.sensor_id
        where = [sensor_id(one.slot) if one.slot >= 0 else self._name for one in happenings]
        about = [one.detector for one in happenings]
        columns: dict[str, ColumnData] = {
            "kind": [one.kind for one in happenings],
            "subject": [f"{what} of {who}" if what else who for what, who in zip(about, where, strict=True)],
            "generation": self._generation,
            "time": np.array([one.time_ms for one in happenings], np.int64),
            "detail": [one.detail for one in happenings],
        }
        return [Rows("events", len(happenings), columns)]

    def _parts(self, readings: ReadingBatch) -> list[ReadingBatch]:
        """The readings, cut where the watermark passes a time at which silent sensors are forgotten."""
        step_ms = self._evict_step_ms
        if not step_ms or not len(readings) or self._looked_ms // step_ms == int(readings.watermark_ms[-1]) // step_ms:
            return [readings]
        steps = readings.watermark_ms // step_ms
        cuts = np.flatnonzero(steps[1:] != steps[:-1]) + 1
        return [readings.take(part) for part in np.split(np.arange(len(readings)), cuts)]

    @property
    def _evict_step_ms(self) -> int:
        return min(self._evict_after_ms, _EVICT_STEP_MS)

    def _evict(self, readings: ReadingBatch, adopted_ms: int) -> list[Rows]:
        """Before these readings: if the watermark has passed such a time, forget the sensors that are long silent."""
        step_ms, watermark_ms = self._evict_step_ms, int(readings.watermark_ms[0]) if len(readings) else NO_WATERMARK
        before_ms, self._looked_ms = self._looked_ms, max(self._looked_ms, watermark_ms)
        if not step_ms or before_ms == NO_WATERMARK or before_ms // step_ms >= watermark_ms // step_ms:
            return []
        rows = self._close(max(watermark_ms, adopted_ms))
        time_ms = watermark_ms // step_ms * step_ms
        silent = self._checks.heard_ms() < time_ms - self._evict_after_ms
        gone = np.flatnonzero(silent & self._roster.present())
        if not len(gone):
            return rows
        names = [self._roster.sensor_id(sensor) for sensor in gone[:_NAMED].tolist()]
        series = self._roster.dismiss(gone)
        self._episodes.forget(gone, series, max(watermark_ms, adopted_ms))
        self._slot_of.forget()
        self._checks.forget(gone)
        self._detection.forget(gone)
        self._cadence.forget(series)
        self._panes.forget(series)
        told = f"{len(gone)} sensors silent for quality.evict_after are forgotten: {', '.join(names)}"
        return rows + self._event_rows(
            [Happening("evicted", time_ms, told if len(gone) <= _NAMED else f"{told}, ...", "")]
        )

    def _take_in(self, readings: ReadingBatch, adopted_ms: int) -> list[Rows]:
        slot = self._slot_of(readings.series, readings.code)
        self._grow(readings, slot)
        sensor = self._roster.sensor_of[slot]
        checked = self._checks.check(
            slot=sensor,
            time_ms=readings.time_ms,
            value=readings.value,
            watermark_ms=readings.watermark_ms,
            lateness=readings.lateness,
            low=self._limits[slot, 0],
            high=self._limits[slot, 1],
        )
        self._count(readings, checked)
        episodes = self._episode_rows(checked, slot)
        status = checked.status
        kept = np.flatnonzero(status != DUPLICATE)
        if len(kept) < len(status):
            readings, slot, sensor, status = readings.take(kept), slot[kept], sensor[kept], status[kept]
        out_of_range, stuck = checked.out_of_range[kept], checked.stuck[kept]
        verdicts = self._detection.judge(
            slot=sensor,
            time_ms=readings.time_ms,
            value=readings.value,
            watermark_ms=readings.watermark_ms,
            teaches=status == OK,
            out_of_range=out_of_range,
            stuck=stuck,
        )
        self._episodes.judge(readings, slot, sensor, status == OK, verdicts)
        rows = [] if not len(kept) else [self._reading_rows(readings, slot, status, out_of_range, stuck, verdicts)]
        rows += episodes + self._event_rows(verdicts.happenings)
        return rows + self._add_to_panes(readings, slot, status <= CONFLICT, verdicts.is_anomaly, adopted_ms)

    def _add_to_panes(
        self, readings: ReadingBatch, slot: Ints, on_time: Flags, flagged: Flags, adopted_ms: int
    ) -> list[Rows]:
        """On-time rows into their panes; before a row at which the watermark passes a pane's end, close up to it."""
        gaps: list[Rows] = []
        watermark = np.maximum(readings.watermark_ms, adopted_ms) // self._panes.pane_ms
        cuts = np.flatnonzero(np.diff(watermark, prepend=self._watermark_ms // self._panes.pane_ms))
        rows = PaneRows(slot, readings.value, readings.time_ms, readings.offset, readings.idx.astype(np.int64), flagged)
        begin = 0
        for end in [*cuts.tolist(), len(slot)]:
            if begin < end:
                counted = begin + np.flatnonzero(on_time[begin:end])
                segment = rows.take(slice(begin, end) if len(counted) == end - begin else counted)
                self._episodes.heard(self._roster.sensor_of[segment.slot], segment.time_ms)
                gaps += self._gap_rows(self._cadence.observe(segment.slot, segment.time_ms))
                self._panes.add(segment)
            if end < len(slot):
                gaps += self._close(int(watermark[end]) * self._panes.pane_ms)
            begin = end
        return gaps

    def _close(self, watermark_ms: int) -> list[Rows]:
        if not crosses(self._watermark_ms, watermark_ms, self._panes.pane_ms):
            return []
        self._watermark_ms = watermark_ms
        self._panes.close(watermark_ms, self._cadence)
        end_ms = watermark_ms // self._panes.pane_ms * self._panes.pane_ms
        gaps = self._cadence.silent(end_ms)
        if len(gaps):
            self._fall_silent(gaps)
        self._episodes.pass_time(end_ms)
        return self._gap_rows(gaps)

    def _fall_silent(self, gaps: Gaps) -> None:
        """Gaps that last: a sensor is silent when it does not speak under other labels either."""
        sensor_of, there = self._roster.sensor_of, self._roster.series_slots()
        newest = np.full(len(self._roster.present()), NO_WATERMARK)
        np.maximum.at(newest, sensor_of[there], self._cadence.newest_ms(there))
        slots = gaps.slot[gaps.start_ms == newest[sensor_of[gaps.slot]]]
        self._episodes.silent(slots, sensor_of[slots], self._cadence)

    def _grow(self, readings: ReadingBatch | None = None, slot: Ints | None = None) -> None:
        """Make room for newcomers. readings, slot: those they have come with, and their series."""
        new = self._roster.newcomers()
        if new is None:
            return
        self._limits = resized(self._limits, int(new.slots.max()) + 1, np.nan)
        self._limits[new.slots] = [self._registry.limits(one) for one in new.series]
        self._checks.grow(int(new.sensor_slots.max(initial=-1)) + 1)
        zones = [self._registry.time_zone(one) for one in new.sensors]
        self._detection.enrol(new.sensor_slots, [one.sensor_type for one in new.sensors], zones)
        self._cadence.enrol(new.slots, [self._registry.interval_ms(one) for one in new.series])
        self._panes.enrol(new.slots, new.series)
        self._episodes.enrol(new.slots, new.series, int(new.sensor_slots.max(initial=-1)) + 1)
        if readings is not None and slot is not None:
            came, first = np.unique(slot, return_index=True)
            first = first[np.searchsorted(came, new.slots)]
            self._episodes.join(new.slots, np.maximum(readings.time_ms[first], readings.watermark_ms[first]))

    def _count(self, readings: ReadingBatch, checked: Checked) -> None:
        bucket = readings.offset // LEDGER_BUCKET * LEDGER_BUCKET
        for one, rows in runs(bucket):
            count = np.bincount(checked.status[rows], minlength=DUPLICATE + 1).tolist()
            self._ledger.add(
                one,
                on_time=count[OK] + count[OUT_OF_ORDER] + count[CONFLICT],
                late=count[LATE_READING] + count[AFTER_IDLE_READING],
                after_idle=count[AFTER_IDLE_READING],
                duplicates=count[DUPLICATE],
                conflicts=count[CONFLICT],
            )

    def _reading_rows(
        self, readings: ReadingBatch, slot: Ints, status: Any, out_of_range: Flags, stuck: Flags, verdicts: Verdicts
    ) -> Rows:
        columns = self._roster.labels(slot)
        columns |= {
            "topic": self._topic,
            "partition": self._partition,
            "generation": self._generation,
            "time": readings.time_ms,
            "offset": readings.offset,
            "idx": readings.idx,
            "value": readings.value,
            "quality": Labels(status.astype(np.int32), QUALITY_NAMES),
            "out_of_range": out_of_range,
            "stuck": stuck,
            "score": verdicts.score,
            "is_anomaly": verdicts.is_anomaly,
            "rule_anomaly": verdicts.rule,
            "model_anomaly": verdicts.model,
            "flagged_by": verdicts.flagged_by,
            "scores": verdicts.raw,
            "surprises": verdicts.surprise,
            "model_versions": verdicts.versions,
            "expected": verdicts.expected[:, 0],
            "expected_low": verdicts.expected[:, 1],
            "expected_high": verdicts.expected[:, 2],
        }
        if readings.seq is not None:
            columns["seq"] = [None if seq == NO_SEQ else seq for seq in readings.seq.tolist()]
        if readings.attributes is not None:
            columns["attributes"] = readings.attributes
        if readings.label is not None:
            columns["label"] = readings.label
        return Rows("readings", len(slot), columns)

    def _episode_rows(self, checked: Checked, slot: Ints) -> list[Rows]:
        told = checked.episodes
        if not len(told.kind):
            return []
        kinds = Labels(told.kind.astype(np.int32), EPISODE_NAMES)
        return [self._quality_rows(kinds, slot[told.row], told.start_ms, told.end_ms, told.readings, told.value)]

    def _gap_rows(self, gaps: Gaps) -> list[Rows]:
        if not len(gaps):
            return []
        value = np.full(len(gaps), np.nan)
        return [self._quality_rows("gap", gaps.slot, gaps.start_ms, gaps.end_ms, gaps.missing, value)]

    def _quality_rows(
        self, kind: ColumnData, slot: Ints, start_ms: Ints, end_ms: Ints, readings: Ints, value: Any
    ) -> Rows:
        columns = self._roster.labels(slot, ("sensor_id", "sensor_type", "location"))
        columns |= {
            "kind": kind,
            "topic": self._topic,
            "partition": self._partition,
            "generation": self._generation,
            "start": start_ms,
            "end": [None if end == NO_END else end for end in end_ms.tolist()],
            "readings": readings,
            "value": value,
            "version": (self._generation << VERSION_SHIFT) + readings,
        }
        return Rows("data_quality", len(slot), columns)

    @property
    def nbytes(self) -> int:
        """Memory of checks, cadence, detectors and episodes, bytes."""
        return self._checks.nbytes + self._cadence.nbytes + self._detection.nbytes + self._episodes.nbytes

    def snapshot(self) -> tuple[Any, ...]:
        """Plain values and arrays."""
        parts = (self._roster, self._checks, self._cadence, self._detection, self._panes, self._episodes)
        times = (self._watermark_ms, self._origin_ms, self._looked_ms)
        return (STATE_VERSION, times, self._ledger.state(), *(part.snapshot() for part in parts))

    def load(self, state: tuple[Any, ...]) -> None:
        """Go on from `snapshot()`. Limits and intervals are those configured now."""
        _, times, ledger, roster, checks, cadence, detection, panes, episodes = state
        self._watermark_ms, self._origin_ms, self._looked_ms = times
        self._roster.load(roster)
        self._grow()
        self._ledger.load(ledger)
        self._checks.load(checks)
        self._cadence.load(cadence)
        self._afresh = self._detection.load(detection)
        self._panes.load(panes)
        self._episodes.load(episodes, self._watermark_ms, self._roster.series_slots())
