"""Inputs for the property tests: what partitions hold, as messages for the flow and as readings for the oracle."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

import hypothesis.strategies as st

from flows.settings import Detector, Duration, EventTime, Quality, Settings, Window
from tests.oracle import Reading
from tests.ports import ABORT, IDLE, Item, Message

START_MS = 1_700_000_000_000
KAFKA_MS = START_MS + 30 * 86_400_000
"""The stamp of every message: later than every event time but those of a clock that runs ahead."""

SOURCES = ("a/0", "a/1", "b/0")
"""Of two topics: ties of first and last then go by topic, in the order of its hash, here as of its name."""

LATENESS_MS = 10_000
HORIZON_MS = 20_000

BAD: dict[str, Callable[[], bytes | None]] = {
    "bad_json": lambda: b'{"sensor_id": "s0", "value": 1, "timest',
    "null_payload": lambda: None,
    "empty_payload": lambda: b" ",
    "missing_field": lambda: json.dumps({"sensor_id": "s0", "value": 1.0}).encode(),
    "wrong_type": lambda: json.dumps({"sensor_id": "s0", "value": "1", "timestamp": START_MS}).encode(),
    "clock_ahead": lambda: payload(reading_of(0, KAFKA_MS + 3_600_000, 1.0)),
    "timestamp_unit": lambda: payload(reading_of(0, START_MS // 1000, 1.0)),
}


def settings(
    *, shards: int = 2, windows: Sequence[Window] | None = None, detectors: tuple[Detector, ...] = (), **quality: Any
) -> Settings:
    """Small windows, one of a hop that does not divide its size; pane 5 s."""
    chosen = windows or (
        Window(name="tumbling", size=Duration(10_000), by=("location",)),
        Window(name="sliding", size=Duration(30_000), hop=Duration(10_000), by=("location",)),
        Window(name="odd", size=Duration(25_000), hop=Duration(10_000), by=("sensor_id",)),
        Window(name="topic", size=Duration(10_000), by=("topic", "location")),
    )
    checks = {
        "dedup_horizon": HORIZON_MS,
        "stuck_after": 6_000,
        "forget_after": 60_000,
        "evict_after": 60_000,
    } | quality
    return Settings(
        event_time=EventTime(lateness=Duration(LATENESS_MS), shards_per_partition=shards),
        quality=Quality(**{name: Duration(ms) for name, ms in checks.items()}),
        windows=tuple(chosen),
        detectors=detectors,
    )


def reading_of(sensor: int, time_ms: int, value: float, *, moved: bool = False) -> dict[str, Any]:
    """What a sensor sends; `moved` puts it in another place."""
    return {
        "sensor_id": f"sensor-{sensor}",  # of several shards; s0 .. s4 all have the same of two
        "sensor_type": "temperature",
        "location": f"place{(sensor + moved) % 3}",
        "value": value,
        "timestamp": time_ms,
    }


def payload(*readings: dict[str, Any]) -> bytes:
    """One reading, or an array of several."""
    return json.dumps(readings[0] if len(readings) == 1 else readings).encode()


class Refused(NamedTuple):
    """Identity of a dead letter, and its reason."""

    topic: str
    partition: int
    offset: int
    idx: int
    reason: str


@dataclass(repr=False)
class Case:
    """partitions: items per source. readings: what the oracle gets per source. refused: what must be dead letters."""

    partitions: dict[str, list[Item]] = field(default_factory=dict)
    readings: dict[str, list[Reading]] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)

    def __repr__(self) -> str:
        """Short enough to read: (sensor, seconds from START_MS, value) and what is between."""
        return "\n".join(f"{name}: {[_short(item) for item in items]}" for name, items in self.partitions.items())

    def with_faults(self, faults: "Sequence[Fault]") -> "Case":
        """The same with ABORT and IDLE put between the messages: (source, place, which)."""
        partitions = {name: list(items) for name, items in self.partitions.items()}
        for source, place, fault in faults:
            items = partitions[list(partitions)[source % len(partitions)]]
            items.insert(place % (len(items) + 1), fault)
        return Case(partitions, self.readings, self.refused)

    @property
    def never_idle(self) -> bool:
        """Every partition that has messages has a good reading: then nothing but the readings moves time."""
        return all(self.readings[name] or not items for name, items in self.partitions.items())


def _short(item: Item) -> str:
    if not isinstance(item, Message):
        return item.name
    try:
        rows = json.loads(item.payload or b"")
        rows = rows if isinstance(rows, list) else [rows]
        return " ".join(f"{r['sensor_id']} {(r['timestamp'] - START_MS) / 1000} {r['value']}" for r in rows)
    except (ValueError, KeyError, TypeError):
        return repr(item.payload)


# Mostly onwards in small steps, so that windows fill, sensors fall silent and intervals are learnt; some of it late.
_steps = st.one_of(
    st.sampled_from([0, 1, 400, 1_000, 1_000, 1_000, 2_500, 4_999, 7_000]),
    st.integers(0, 4_000),
    st.integers(0, 4_000),
    st.sampled_from([-1, -3_000, -LATENESS_MS, -LATENESS_MS - 1, -25_000, -40_000, 45_000, 3_600_000]),
)
_values = st.one_of(st.sampled_from([20.0, 21.5, -0.0, 0.0, 1e100, -5.0]), st.floats(-1e6, 1e6))
_new = st.tuples(st.just("new"), st.integers(0, 4), _steps, _values, st.booleans())
_again = st.tuples(st.just("again"), st.integers(1, 6), st.sampled_from([None, None, 3.25]))
_bad = st.tuples(st.just("bad"), st.sampled_from(sorted(BAD)))
_array = st.tuples(st.just("array"), st.lists(_new, min_size=1, max_size=4), st.booleans())
_entries = st.one_of(
    *[st.lists(st.one_of(_new, _new, _new, _again, _array, _bad), min_size=size, max_size=60) for size in (0, 20, 40)]
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Partitions of readings: disorder, delay, repetition, conflicts, jumps, arrays, bad payloads."""
    case = Case()
    for source in SOURCES[: draw(st.integers(1, 3))]:
        Partition(case, source).fill(draw(_entries))
    return case


def steady_case(rng: Random) -> Case:
    """Three partitions of plain readings, a good second apart, some out of order: nearly all of its windows close."""
    case = Case()
    for source in SOURCES:
        steps = [rng.choice((-6_000, *(rng.randint(0, 4_000) for _ in range(4)))) for _ in range(100)]
        Partition(case, source).fill(
            [("new", rng.randint(0, 4), step, rng.uniform(-9, 9), rng.random() < 0.3) for step in steps]
        )
    return case


class Partition:
    """Fills one partition of a case."""

    def __init__(self, case: Case, source: str) -> None:
        self._topic, _, partition = source.rpartition("/")
        self._partition = int(partition)
        self._case = case
        self._items = case.partitions.setdefault(source, [])
        self._readings = case.readings.setdefault(source, [])
        self._sent: list[dict[str, Any]] = []
        self._newest_ms = START_MS

    def fill(self, entries: list[Any]) -> None:
        """Entries as strategies draw them, (kind, details...)."""
        for kind, *details in entries:
            getattr(self, f"_{kind}")(*details)

    def _new(self, sensor: int, step_ms: int, value: float, moved: bool) -> None:
        self._send([self._make(sensor, step_ms, value, moved)])

    def _make(self, sensor: int, step_ms: int, value: float, moved: bool) -> dict[str, Any]:
        time_ms = self._newest_ms + step_ms
        self._newest_ms = max(self._newest_ms, time_ms)
        return reading_of(sensor, time_ms, value, moved=moved)

    def _again(self, back: int, value: float | None) -> None:
        if back <= len(self._sent):
            sent = self._sent[-back]
            self._send([sent if value is None else sent | {"value": value}])

    def _array(self, news: list[Any], broken: bool) -> None:
        readings = [self._make(*details) for _, *details in news]
        self._send(readings, broken=broken)

    def _bad(self, reason: str) -> None:
        self._refuse(0, reason)
        self._items.append(Message(BAD[reason](), KAFKA_MS))

    def _refuse(self, idx: int, reason: str) -> None:
        self._case.refused.append(Refused(self._topic, self._partition, len(self._items), idx, reason))

    def _send(self, readings: list[dict[str, Any]], *, broken: bool = False) -> None:
        for idx, one in enumerate(readings):
            self._sent.append(one)
            self._readings.append(
                {
                    **{name: one[name] for name in ("sensor_id", "sensor_type", "location", "value")},
                    **{"asset_id": "", "unit": "", "topic": self._topic, "partition": self._partition},
                    **{"time_ms": one["timestamp"], "offset": len(self._items), "idx": idx},
                }
            )
        text = json.dumps(readings[0] if len(readings) == 1 and not broken else readings)
        if broken:
            self._refuse(len(readings), "wrong_type")
            text = text[:-1] + ", 7]"
        self._items.append(Message(text.encode(), KAFKA_MS))


Fault = tuple[int, int, Item]
"""(source, place among its items, ABORT or IDLE)"""

aborts = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 60), st.just(ABORT)), max_size=3)
idles = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 60), st.just(IDLE)), min_size=1, max_size=4)
