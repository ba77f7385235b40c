"""Rebuilding: a past range of event time computed once more, by the very flow that runs live.

    stored readings, or the topic once more --> flows/sensors.py --> scratch tables --> compared --> live tables
         from `warm_up` before the range on        as configured now     beside them     shown        generation + 1

What it is for: a window that was configured later, readings that came late, a detector or a setting that was wrong.

What a rebuild makes is what the live flow would have made had it been configured as it is now and had no reading been
late. All others are taken in the order of their offsets, so a range that nothing has changed about comes out as it is
stored, to the last digit (mean and stddev within 1e-9). A late reading is taken just before it would have been late:
it enters its windows, is usually out of order, and then teaches no detector. Verdicts on others rarely turn, but their
scores may differ slightly: an isolation forest draws its sample by the order of arrival.

Which rows are written: those that differ from what is stored, or are not stored, and belong wholly to the range:
readings and asset verdicts by their time, windows that begin and end in it, data-quality episodes and alerts that do.
They get a generation above all others, which wins in every FINAL view, also over what a live flow writes again after a
crash.
- `quality`, like the ledger, dead letters and events, tells how it was the first time, and stays: late stays late.
- A window's group that no longer has readings, since their labels are others now, is set to count 0.
- Other rows that are no longer made stay: windows that are configured no more, the verdict on a late reading that is
  now found to be a repeat, episodes of data quality, and alerts, which people have been told of. How many there are is
  shown.
- Nobody is told of alerts that a rebuild finds: they are in the table, and not in the topic of alerts.
- What is replaced is gone with the next merge of ClickHouse. To see it again, rebuild with the configuration of then.

Detectors, medians of intervals and sliding windows depend on what came before: by default everything before the range
is computed, too, though not written. A shorter warm-up is quicker, and verdicts differ as detectors know less.

The range must be closed: no window in it is open in the live flow. Live flows go on meanwhile; a rebuild joins no
consumer group, reads and writes no recovery store. Nothing is written before it is asked for; broken off while it
writes, it has written some of the rows, and the next run finds the rest to differ still.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from threading import Event
from typing import Any, Literal

import bytewax.operators as op
import msgspec
import numpy as np
from bytewax.dataflow import Dataflow
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from bytewax.testing import TestingSink, TestingSource
from typing_extensions import override

from flows.graceful import Failures, GracefulSource
from flows.parts import Parts, window_specs
from flows.places import connection
from flows.ports import Ports
from flows.production import known_registry
from flows.rebuild_source import StoredSource
from flows.schemas import schema_source
from flows.sensors import build
from flows.settings import Settings, SettingsError
from flows.worker import work
from infra.clickhouse import schema_check
from infra.clickhouse.client import Address, connect
from infra.clickhouse.rebuild import REBUILT, Change, Slice, Workbench
from infra.clickhouse.rebuild_source import ReadingStore, closed, just_stored
from infra.clickhouse.sink import ClickHouseSink
from infra.kafka.admin import partitions
from infra.kafka.source import KafkaSource
from operators.batches import LATE, NO_SEQ, ColumnData, Labels, ReadingBatch, Rows, Series
from operators.intake import IntakeBatch, MakeIntake

_SETTLE_S = 2
_TAIL_MS = 60_000
"""Read beyond the range, so that its last panes close by a reading, as they did live."""

Told = Callable[[str, int, int], None]
"""Told of progress: what is done, how much of it, of how much (0: not known)."""


class Stopped(Exception):
    """Told to stop before the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """from_ms, to_ms: the range of event time, the end exclusive. warm_up_ms: computed before it; None: everything."""

    from_ms: int
    to_ms: int
    warm_up_ms: int | None = None
    source: Literal["stored", "kafka"] = "stored"

    def __post_init__(self) -> None:
        if self.from_ms >= self.to_ms:
            raise SettingsError(f"--from {moment(self.from_ms)} --to {moment(self.to_ms)}: the range is empty")


def moment(ms: int) -> str:
    """Epoch milliseconds as people read them."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


class Rebuild:
    """One rebuild: within `open`, `compute`, look at `changes`, `publish`.

    stop: looked at often; Stopped is raised when it is set.
    """

    def __init__(
        self,
        settings: Settings,
        request: Request,
        *,
        address: Address,
        stop: Event,
        told: Told = lambda what, done, total: None,
    ) -> None:
        # What is refused is in dead_letters already, and idle partitions are a matter of the wall clock.
        quality = msgspec.structs.replace(settings.quality, dead_letter_share=1.0)
        self._settings = msgspec.structs.replace(settings, quality=quality)
        self._request = request
        self._client, self._address = connect(address), address
        self._stop, self._told = stop, told
        self._registry = known_registry(settings, self._client)
        self._slices: list[Slice] = []
        windows = [(one.name, one.size_ms, one.hop_ms) for one in window_specs(settings)]
        self._bench = Workbench(self._client, windows=windows)

    @contextmanager
    def open(self, *, discard: bool = False) -> Iterator[None]:
        """Scratch tables, dropped afterwards.

        discard: drop those that a rebuild that was killed has left.
        Raises SettingsError when the range is not closed, ClickHouseError.
        """
        with self._client:
            schema_check.check(self._client)
            self._check()
            with self._bench.open(discard=discard):
                yield

    def _check(self) -> None:
        request, lateness_ms = self._request, self._settings.event_time.lateness.ms
        reached_ms = closed(self._client, lateness_ms=lateness_ms)
        if reached_ms is None:
            raise SettingsError("nothing is stored that could be rebuilt: `streamgauge run sensors` comes first")
        if request.to_ms > reached_ms:
            raise SettingsError(
                f"--to {moment(request.to_ms)}: the live flow has closed its windows up to {moment(reached_ms)} only; "
                "what lies behind that it will write itself: choose an earlier --to, or wait"
            )
        if just_stored(self._client, to_ms=request.to_ms, seconds=_SETTLE_S):
            time.sleep(_SETTLE_S)

    def compute(self) -> int:
        """Fill the scratch tables; the number of readings gone through. Raises SettingsError, Stopped and the like."""
        request, event_time = self._request, self._settings.event_time
        database = self._bench.live
        if request.source == "kafka":
            database = self._bench.readings
            self._read_topics()
        store = ReadingStore(self._client, database, self._settings.kafka.topics, self._registry.complete)
        first_ms = store.first_ms()
        if first_ms is None:
            raise SettingsError(
                f"no readings of topic {', '.join(self._settings.kafka.topics)} are there to rebuild from"
            )
        begin_ms = first_ms if request.warm_up_ms is None else max(first_ms, request.from_ms - request.warm_up_ms)
        end_ms = request.to_ms + event_time.lateness.ms + _TAIL_MS
        slices = store.slices(begin_ms, end_ms)
        self._slices = store.slices(request.from_ms, request.to_ms) or [Slice(request.from_ms, request.to_ms, 0)]
        total, done = sum(part.rows for part in slices), 0

        def told(rows: int) -> None:
            nonlocal done
            done += rows
            self._told("readings computed", done, total)

        names = store.partitions(begin_ms, end_ms)

        def source(_: MakeIntake) -> StoredSource:
            return StoredSource(
                store, names, slices, lateness_ms=event_time.lateness.ms, told=told, stopped=self._stop.is_set
            )

        sink = ClickHouseSink(replace(self._address, database=self._bench.results))
        tables = _RangeSink(sink, request.from_ms, request.to_ms)
        if names:
            flow = build(self._settings, Ports(names, source, tables, self._registry, close_at_end=True))
            work(flow, epoch=self._settings.worker.epoch, recovery=None)
        self._go_on()
        self._refuse_loss()
        return done

    def _read_topics(self) -> None:
        """The readings of the topics into a scratch table, with all that has come since."""
        request, settings = self._request, self._settings
        begin_ms = None if request.warm_up_ms is None else request.from_ms - request.warm_up_ms
        # A reading is never stamped later than its message by more than max_ahead.
        since_ms = None if begin_ms is None else begin_ms - settings.event_time.max_ahead.ms
        start = "earliest" if since_ms is None else moment(since_ms)
        names = partitions(connection(settings), settings.kafka.topics)
        schemas = schema_source(settings)
        known = None if schemas is None else schemas.schemas
        parts = Parts(
            settings, Ports(names, lambda _: TestingSource([]), TestingSink([]), self._registry, schemas=known)
        )
        failures = Failures(self._stop.set)

        def kafka(make: MakeIntake) -> KafkaSource:
            return KafkaSource(
                connection(settings),
                names,
                make,
                group=f"{settings.kafka.group}-rebuild",
                start=start,
                idle_after_ms=0,
                stop=self._stop,
                stop_at_end=True,
                schemas=schemas,
            )

        read = 0

        def rows(batch: IntakeBatch) -> Iterator[tuple[str, Rows]]:
            nonlocal read
            read += sum(one.messages for one in batch.tallies)
            self._told("messages read", read, 0)
            if batch.readings is not None and len(batch.readings):
                yield batch.source, as_read(batch.topic, batch.partition, batch.readings)

        flow = Dataflow("rebuild_read")
        batches = op.input("source", flow, GracefulSource(kafka, parts.intake, failures))
        sink = ClickHouseSink(replace(self._address, database=self._bench.readings))
        op.output("readings", op.flat_map("rows", batches, rows), sink)
        work(flow, epoch=settings.worker.epoch, recovery=None)
        failures.raise_first()
        self._go_on()

    def _refuse_loss(self) -> None:
        shrunk = sum(self._bench.shrunk(part, to_ms=self._request.to_ms) for part in self._over("windows"))
        if shrunk:
            other = "stored" if self._request.source == "kafka" else "kafka"
            raise SettingsError(
                f"{shrunk:,} windows of the range hold readings that --source {self._request.source} has no longer "
                f"(deleted by retention?) and would lose them: choose a later --from, or --source {other}"
            )

    def changes(self) -> list[Change]:
        """What would change, by table and window. Raises ClickHouseError, Stopped."""
        found: dict[tuple[str, str], Change] = {}
        for table in REBUILT:
            for part in self._over(table, "compared"):
                for change in self._bench.changes(table, part, to_ms=self._request.to_ms):
                    key = (change.table, change.window)
                    found[key] = found[key] + change if key in found else change
        return list(found.values())

    def publish(self) -> int:
        """Write what differs; the generation it has. Raises ClickHouseError, Stopped."""
        generation = self._bench.next_generation()
        for table in REBUILT:
            for part in self._over(table, "written"):
                self._bench.publish(table, part, to_ms=self._request.to_ms, generation=generation)
        return generation

    def _over(self, table: str, doing: str = "") -> Iterator[Slice]:
        """The slices of the range, with what lies before the first and behind the last reading."""
        slices = list(self._slices)
        slices[0] = slices[0]._replace(begin_ms=self._request.from_ms)
        slices[-1] = slices[-1]._replace(end_ms=self._request.to_ms)
        for done, part in enumerate(slices):
            self._go_on()
            if doing:
                self._told(f"{table} {doing}", done, len(slices))
            yield part

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise Stopped


def as_read(topic: str, partition: int, readings: ReadingBatch) -> Rows:
    """Readings as rows of the table `readings`, without a verdict."""
    columns: dict[str, ColumnData] = {
        name: Labels(readings.code, [series[place] for series in readings.series.values])
        for place, name in enumerate(Series._fields)
    }
    columns |= {
        "topic": topic,
        "partition": partition,
        "time": readings.time_ms,
        "offset": readings.offset,
        "idx": readings.idx,
        "value": readings.value,
        "quality": Labels((readings.lateness == LATE).astype(np.int32), ("ok", "late")),
    }
    if readings.seq is not None:
        columns["seq"] = [None if seq == NO_SEQ else seq for seq in readings.seq.tolist()]
    if readings.attributes is not None:
        columns["attributes"] = readings.attributes
    if readings.label is not None:
        columns["label"] = readings.label
    return Rows("readings", len(readings), columns)


class _RangeSink(FixedPartitionedSink[Rows, None]):
    """Hands on batches for the rebuilt tables that touch the range; which of their rows count is a matter of SQL."""

    def __init__(self, sink: ClickHouseSink, from_ms: int, to_ms: int) -> None:
        self._sink = sink
        self._touches = partial(_touches, from_ms=from_ms, to_ms=to_ms)

    @override
    def list_parts(self) -> list[str]:
        return self._sink.list_parts()

    @override
    def part_fn(self, item_key: str) -> int:
        return self._sink.part_fn(item_key)

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_RangePart":
        return _RangePart(self._sink.build_part(step_id, for_part, None), self._touches)


class _RangePart(StatefulSinkPartition[Rows, None]):
    def __init__(self, part: Any, touches: Callable[[Rows], bool]) -> None:
        self._part = part
        self._touches = touches

    @override
    def write_batch(self, values: list[Rows]) -> None:
        self._part.write_batch([rows for rows in values if self._touches(rows)])

    @override
    def snapshot(self) -> None:
        self._part.snapshot()

    @override
    def close(self) -> None:
        self._part.close()


def _touches(rows: Rows, *, from_ms: int, to_ms: int) -> bool:
    if rows.table not in REBUILT or not len(rows):
        return False
    times: Any = np.asarray(
        next(rows.columns[name] for name in ("time", "start", "started_at") if name in rows.columns)
    )
    return bool(times.max() >= from_ms and times.min() < to_ms)
