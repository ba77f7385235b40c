"""The engine by hand: readings in, rows out, each item worked off at once; times in seconds from T0."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from flows.parts import Parts
from flows.settings import Alert, Assets, Detector, Duration, EventTime, Quality, Settings, Window
from flows.settings_alerts import DEFAULT_ALERTS
from operators.batches import Messages, Rows
from operators.clock import ClockOutput, PartitionClock, Tick
from operators.intake import IntakeBatch
from operators.registry import Registry
from operators.sensors import SensorOutput
from operators.state import pack, unpack
from tests.ports import MemoryTables, list_ports

T0_MS = 1_700_000_040_000
"""A whole minute."""

KAFKA_MS = T0_MS + 3650 * 86_400_000

Row = tuple[Any, ...]
"""(sensor, second, value), and other labels as a dict if there are any."""


def tumbling(name: str, seconds: int, *by: str) -> Window:
    """A tumbling window, by location when nothing is said."""
    return Window(name=name, size=Duration(seconds * 1000), by=by or ("location",))  # type: ignore[arg-type]


def sliding(name: str, seconds: int, hop: int, *by: str) -> Window:
    """A sliding window."""
    return Window(
        name=name,
        size=Duration(seconds * 1000),
        hop=Duration(hop * 1000),
        by=by or ("location",),  # type: ignore[arg-type]
    )


def alert(name: str, on: str, *, lasts: float = 0, keep: float = 0, cool: float = 0, **more: Any) -> Alert:
    """A rule for alerts; lasts: its `for`, keep: its `keep_firing_for`, both and the cool-down in seconds."""
    hold, keep_ms, cool_ms = (Duration(round(s * 1000)) for s in (lasts, keep, cool))
    return Alert(name=name, on=on, for_=hold, keep_firing_for=keep_ms, cool_down=cool_ms, **more)


class Engine:
    """Partitions with the clocks, sensor shards and window shards behind them."""

    def __init__(
        self,
        *sources: str,
        windows: Sequence[Window] = (),
        lateness_s: float = 0,
        shards: int = 1,
        registry: Registry | None = None,
        aggregates: tuple[str, ...] = (),
        close_at_end: bool = False,
        assets: Assets | None = None,
        detectors: tuple[Detector, ...] = (),
        alerts: tuple[Alert, ...] = DEFAULT_ALERTS,
        **quality_s: float,
    ) -> None:
        self.tables = MemoryTables()
        self._sources = sources or ("t/0",)
        self._registry, self._close_at_end = registry, close_at_end
        self._fixed: dict[str, Any] = {
            "event_time": EventTime(lateness=Duration(round(lateness_s * 1000)), shards_per_partition=shards),
            "quality": Quality(**{name: Duration(round(s * 1000)) for name, s in quality_s.items()}),
            "detectors": detectors,
            "assets": assets or Assets(),
            "alerts": alerts,
        }
        self._offsets = dict.fromkeys(self._sources, 0)
        self.states: dict[tuple[str, str], Any] = {}
        self._intakes: dict[str, Any] = {}
        self._start(windows, aggregates, self._sources)

    def feed(self, source: str, *rows: Row, batches: bool = False) -> None:
        """Readings of one partition, in one batch or each in its own."""
        if batches:
            for row in rows:
                self.feed(source, row)
            return
        payloads = [_payload(*row) for row in rows]
        offsets = self._offsets[source] + np.arange(len(rows))
        self._offsets[source] += len(rows)
        kafka_ms = np.full(len(rows), KAFKA_MS)
        self._announce(self._intakes[source].feed(Messages(list(payloads), offsets, kafka_ms)))

    def idle(self, *sources: str) -> None:
        """The sources are caught up and silent."""
        for source in sources:
            if (batch := self._intakes[source].idle()) is not None:
                self._announce(batch)

    def restart(
        self,
        *,
        windows: Sequence[Window] | None = None,
        aggregates: tuple[str, ...] = (),
        sources: Sequence[str] = (),
        alerts: tuple[Alert, ...] | None = None,
    ) -> None:
        """Snapshot, drop everything, go on, perhaps with other windows, aggregates, alerts or further sources."""
        if alerts is not None:
            self._fixed["alerts"] = alerts
        states = {key: pack(state.snapshot()) for key, state in self.states.items()}
        intakes = {source: intake.snapshot() for source, intake in self._intakes.items()}
        self._start(self._windows if windows is None else windows, aggregates, (*self._sources, *sources), intakes)
        for (kind, name), packed in states.items():
            self.state(kind, name).load(unpack(packed))

    def end(self) -> None:
        """The input is at its end."""
        for kind, name in list(self.states):
            if kind == "clock":
                self._from_clock(self.state(kind, name).end())
        for kind, name in list(self.states):
            if kind == "shard":
                self._from_shard(self.state(kind, name).end(close_panes=self._close_at_end))
        for (kind, _), state in self.states.items():
            if kind == "window" and self._close_at_end:
                self._write(state.close_all())

    def state(self, kind: str, name: str) -> Any:
        """A clock, a shard or a window shard."""
        if (kind, name) not in self.states:
            make: dict[str, Any] = {
                "clock": self._parts.clock,
                "shard": self._parts.sensor_shard,
                "window": lambda _: self._parts.window_shard(),
            }
            self.states[kind, name] = make[kind](name)
        return self.states[kind, name]

    def windows(self, name: str, *columns: str) -> list[tuple[Any, ...]]:
        """(start second, group, wanted columns) of the closed windows of one name; the count if none are wanted."""
        (window,) = (w for w in self._windows if w.name == name)
        return sorted(
            (
                (row["start"] - T0_MS) / 1000,
                "/".join(row[by] for by in window.by),
                *(row[column] for column in columns or ("count",)),
            )
            for row in self.tables.final("windows")
            if row["window"] == name
        )

    def episodes(self, kind: str) -> list[tuple[Any, ...]]:
        """(sensor, start second, end second or None, readings, value) of data_quality, without NaN values."""
        return [
            (
                row["sensor_id"],
                (row["start"] - T0_MS) / 1000,
                None if row["end"] is None else (row["end"] - T0_MS) / 1000,
                row["readings"],
                None if row["value"] != row["value"] else row["value"],
            )
            for row in self.tables.final("data_quality")
            if row["kind"] == kind
        ]

    def alerts(self, *columns: str) -> list[tuple[Any, ...]]:
        """(rule, sensor or group, start second, end second or None, wanted columns), by start."""
        rows = sorted(self.tables.final("alerts"), key=lambda row: (row["started_at"], row["rule"], row["sensor_id"]))
        return [
            (
                row["rule"],
                row["sensor_id"] or row["location"] or row["asset_id"] or row["sensor_type"],
                (row["started_at"] - T0_MS) / 1000,
                None if row["ended_at"] is None else (row["ended_at"] - T0_MS) / 1000,
                *(row[column] for column in columns),
            )
            for row in rows
        ]

    def qualities(self) -> list[str]:
        """The quality of each stored reading, by partition and offset."""
        rows = sorted(self.tables.final("readings"), key=lambda row: (row["topic"], row["partition"], row["offset"]))
        return [row["quality"] for row in rows]

    def _start(
        self, windows: Sequence[Window], aggregates: tuple[str, ...], sources: Sequence[str], intakes: Any = ()
    ) -> None:
        self._windows, self._sources = tuple(windows), tuple(sources)
        settings = Settings(windows=self._windows, aggregates=aggregates, **self._fixed)
        ports = list_ports({source: [] for source in sources}, self.tables, registry=self._registry)
        self._parts = Parts(settings, ports)
        self._announcer = self._parts.announcer()
        self.states = {}
        known = dict(intakes)
        for source in sources:
            self._offsets.setdefault(source, 0)
            topic, _, partition = source.rpartition("/")
            self._intakes[source] = self._parts.intake(topic, int(partition), known.get(source))

    def _announce(self, batch: IntakeBatch) -> None:
        for to, item in self._announcer(batch):
            clock: PartitionClock = self.state("clock", to)
            self._from_clock(clock.on_tick(item) if isinstance(item, Tick) else clock.on_batch(item))

    def _from_clock(self, output: ClockOutput) -> None:
        self._write(output.rows)
        for batch in output.shards:
            self._from_shard(self.state("shard", batch.shard).on_batch(batch))

    def _from_shard(self, output: SensorOutput) -> None:
        self._write(output.rows)
        for number, message in output.panes:
            self._write(self.state("window", str(number)).on_messages([message]))

    def _write(self, many: Sequence[Rows]) -> None:
        for rows in many:
            self.tables.write(rows)


def _payload(sensor: str, second: float, value: float, labels: dict[str, Any] | None = None) -> bytes:
    reading = {"sensor_id": sensor, "value": value, "timestamp": T0_MS + round(second * 1000), "location": "x"}
    return json.dumps(reading | (labels or {})).encode()
