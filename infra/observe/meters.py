"""Who watches the source, the steps and the inserts.

For Prometheus: a few updates per batch, each under a microsecond. For a collector of traces, where one is named: spans.
"""

import time
from collections import Counter as Tally
from collections.abc import Sequence
from contextlib import AbstractContextManager
from math import nan
from typing import Any

import numpy as np
from prometheus_client import Histogram

from infra.observe import metrics, traces
from operators.batches import Labels
from operators.clock import ShardBatch
from operators.intake import NO_WATERMARK, IntakeBatch
from operators.sensors import SensorOutput


def timed(
    seconds: Histogram, span: str, attributes: traces.Attributes, kind: traces.Kind = "internal"
) -> AbstractContextManager[Any]:
    """Around what takes time."""
    timer = seconds.time()
    return timer if traces.ACTIVE is None else traces.ACTIVE.around(timer, span, attributes, kind)


def inserting(table: str, rows: int) -> AbstractContextManager[Any]:
    """Around one attempt at an insert."""
    attributes: dict[str, str | int | float] = {
        "db.system.name": "clickhouse",
        "db.operation.name": "INSERT",
        "db.collection.name": table,
        "db.operation.batch.size": rows,
    }
    return timed(metrics.INSERT_SECONDS, f"INSERT {table}", attributes, "client")


class PartitionMeter:
    """Watches the reading of one partition."""

    def __init__(self, topic: str, partition: int) -> None:
        self._labels = (topic, str(partition))
        self._watermark_ms = NO_WATERMARK
        self._lag = metrics.SOURCE_LAG.labels(*self._labels)
        self._messages = metrics.SOURCE_MESSAGES.labels(*self._labels)
        self._polls = {result: metrics.SOURCE_POLLS.labels(result) for result in ("messages", "nothing", "held_back")}
        self._snapshot_s: float | None = None
        self._completed_s: float | None = None
        self._asked_ns = self._polled_ns = 0
        metrics.WATERMARK_DELAY.labels(*self._labels).set_function(self._delay_s)

    def asked(self) -> None:
        """The next batch is asked for; the first time after a snapshot, Bytewax has completed that epoch."""
        if traces.ACTIVE is not None:
            traces.ACTIVE.epoch_begins()
            self._asked_ns = time.monotonic_ns()
        if self._snapshot_s is None:
            return
        now_s = time.monotonic()
        metrics.EPOCH_CLOSE_SECONDS.observe(now_s - self._snapshot_s)
        if self._completed_s is not None:
            metrics.EPOCH_SECONDS.observe(now_s - self._completed_s)
        metrics.EPOCH_COMPLETED.set_to_current_time()
        self._snapshot_s, self._completed_s = None, now_s

    def snapshot(self) -> None:
        """Where reading stands is taken down: an epoch closes."""
        if traces.ACTIVE is not None:
            traces.ACTIVE.epoch_closes()
        self._snapshot_s = time.monotonic()

    def polled(self, messages: int, *, held: bool) -> None:
        """So many came; held: none were asked for."""
        if traces.ACTIVE is not None:
            self._polled_ns = time.monotonic_ns()
        self._polls["messages" if messages else "held_back" if held else "nothing"].inc()

    def fed(self, batch: IntakeBatch, messages: int) -> None:
        """What became of so many messages."""
        self._watermark_ms = batch.watermark_ms
        self._messages.inc(messages)
        metrics.BATCH_READINGS.observe(0 if batch.readings is None else len(batch.readings))
        if batch.rejects is not None:
            reasons = batch.rejects.columns["reason"]
            for reason, count in Tally(reasons.tolist() if isinstance(reasons, Labels) else []).items():
                metrics.REJECTED.labels(reason).inc(count)
        if traces.ACTIVE is not None:
            self._trace(traces.ACTIVE, batch, messages)

    def behind(self, messages: int) -> None:
        """So many are still to be read."""
        self._lag.set(messages)

    def close(self) -> None:
        """It is not read any more, so nothing is said of it."""
        metrics.SOURCE_LAG.remove(*self._labels)
        metrics.WATERMARK_DELAY.remove(*self._labels)

    def _trace(self, told: traces.Traces, batch: IntakeBatch, messages: int) -> None:
        """Poll and decode as one span; where the poll ended is an attribute."""
        attributes: dict[str, str | int | float] = {
            "messaging.system": "kafka",
            "messaging.destination.name": batch.topic,
            "messaging.destination.partition.id": str(batch.partition),
            "messaging.batch.message_count": messages,
            "streamgauge.poll_seconds": (self._polled_ns - self._asked_ns) / 1e9,
            "streamgauge.readings": 0 if batch.readings is None else len(batch.readings),
            "streamgauge.rejects": 0 if batch.rejects is None else len(batch.rejects),
        }
        told.ended(f"poll {batch.topic}", self._asked_ns, attributes, "consumer")

    def _delay_s(self) -> float:
        return nan if self._watermark_ms == NO_WATERMARK else time.time() - self._watermark_ms / 1000


class StepMeter:
    """Watches the steps of a flow, as `operators.meter.Meter`."""

    def __init__(self) -> None:
        self._sensors: dict[str, int] = {}
        self._working: dict[str, str | int | float] = {}

    def working(self, step: str) -> AbstractContextManager[Any]:
        """Around what a step does with one key's batches."""
        self._working = {"streamgauge.step": step}
        return timed(metrics.STEP_SECONDS.labels(step), f"step {step}", self._working)

    def packing(self, step: str) -> AbstractContextManager[Any]:
        """Around the making of one key's snapshot."""
        return timed(metrics.SNAPSHOT_SECONDS.labels(step), f"snapshot {step}", {"streamgauge.step": step})

    def packed(self, step: str, nbytes: int, before: int) -> None:
        """A key's snapshot has so many bytes now; `before` is 0 for its first."""
        metrics.STATE_BYTES.labels(step).inc(nbytes - before)
        if not before:
            metrics.STATE_KEYS.labels(step).inc()

    def judged(self, batches: Sequence[ShardBatch], outputs: Sequence[SensorOutput]) -> None:
        """Count what the sensor step made of batches of one shard."""
        if traces.ACTIVE is not None:
            self._working["streamgauge.shard"] = batches[0].shard
            readings = sum(len(one.readings) for one in batches if one.readings is not None)
            self._working["streamgauge.readings"] = readings
        for batch, output in zip(batches, outputs, strict=True):
            if batch.readings is None:
                continue
            stored = 0
            for rows in output.rows:
                if rows.table == "readings":
                    stored += len(rows)
                    self._count(batch.shard, rows.columns["quality"], rows.columns["sensor_id"])
            # What is neither stored nor an error of ours was there already.
            metrics.READINGS.labels("duplicate").inc(len(batch.readings) - stored)

    def _count(self, shard: str, quality: Any, sensor_id: Any) -> None:
        for outcome, count in zip(quality.values, np.bincount(quality.codes, minlength=0).tolist(), strict=False):
            if count:
                metrics.READINGS.labels(outcome).inc(count)
        # The column's dictionary is the shard's whole roster.
        known, self._sensors[shard] = self._sensors.get(shard, 0), len(sensor_id.values)
        metrics.SENSORS.inc(self._sensors[shard] - known)
