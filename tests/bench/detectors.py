"""What each detector costs by itself: microseconds per reading, in batches and alone, bytes per sensor; the twin of
HalfSpaceTrees beside River."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from statistics import median
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from models.catalog import build
from models.cost import cost_per_sensor
from models.detector import Batch, Detector, Scheduled
from operators.features import FEATURE_NAMES
from tests.bench.measure import cpu_us

SENSORS = 1000
"""One reading of each makes a batch."""

TREES = "river.anomaly.HalfSpaceTrees"
_WARM_UP = 300
_INTERVAL_MS = 10_000
_BATCHES = 20
_ALONE = 300
_RIVERS = 64


@dataclass(frozen=True, slots=True)
class Candidate:
    """A detector to measure: its name in the table, and what `build` is given."""

    name: str
    kind: str
    params: dict[str, Any] = field(default_factory=dict)
    features: tuple[str, ...] = FEATURE_NAMES


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU microseconds of a reading, median of the runs, and bytes of a sensor.

    score_us, learn_us: in batches of SENSORS readings.
    alone_us: both, for a batch of one.
    snapshot_bytes: compressed.
    """

    name: str
    score_us: float
    learn_us: float
    alone_us: float
    memory_bytes: int
    snapshot_bytes: int


@dataclass(frozen=True, slots=True)
class BesideRiver:
    """Score and learn, CPU microseconds per reading, medians; same: the scores were, to the bit."""

    twin_us: float
    river_us: float
    same: bool

    @property
    def times(self) -> float:
        """How many times as fast the twin is."""
        return self.river_us / self.twin_us


def measure(candidates: Sequence[Candidate], *, repeat: int = 5, warm_up: int = _WARM_UP) -> list[Cost]:
    """Each detector by itself, after `warm_up` readings of every sensor. Raises KindError."""
    return [_measured(one, repeat, warm_up) for one in candidates]


def beside_river(params: dict[str, Any], *, features: int = 8, repeat: int = 5) -> BesideRiver:
    """HalfSpaceTrees: the twin over batches of SENSORS readings of as many sensors, beside River.

    River, of fewer sensors but so many that no cache holds them all, is called by hand with what it wants ready-made,
    without the adapter: at its best. Runs take turns.
    """
    from river import anomaly

    names = tuple(f"f{number}" for number in range(features))
    twin = build(TREES, names, params)
    twin.grow(SENSORS)
    rivers: list[Any] = [anomaly.HalfSpaceTrees(**({"seed": 0} | params)) for _ in range(_RIVERS)]
    readings = _readings(features)
    same = True
    for row in range(rivers[0].window_size + 10):
        batch = next(readings)
        xs = [dict(zip(names, x, strict=True)) for x in batch.features[:_RIVERS].tolist()]
        if row >= rivers[0].window_size:
            expected = [river.score_one(x) for river, x in zip(rivers, xs, strict=True)]
            same = same and twin.score(batch)[:_RIVERS].tolist() == expected
        twin.learn(batch)
        for river, x in zip(rivers, xs, strict=True):
            river.learn_one(x)
    batches = [next(readings) for _ in range(_BATCHES)]

    def by_river() -> None:
        for _ in range(_BATCHES):
            for river, x in zip(rivers, xs, strict=True):
                river.score_one(x)
                river.learn_one(x)

    def by_twin() -> None:
        for batch in batches:
            twin.score(batch)
            twin.learn(batch)

    runs = [(cpu_us(by_twin) / (_BATCHES * SENSORS), cpu_us(by_river) / (_BATCHES * _RIVERS)) for _ in range(repeat)]
    return BesideRiver(median(run[0] for run in runs), median(run[1] for run in runs), same)


def _measured(one: Candidate, repeat: int, warm_up: int) -> Cost:
    detector = build(one.kind, one.features, one.params)
    detector.grow(SENSORS)
    readings = _readings(len(one.features))
    for _ in range(warm_up):
        _take_in(detector, next(readings))
    batches = [next(readings) for _ in range(_BATCHES)]
    lone = [batch.take(slice(row % SENSORS, row % SENSORS + 1)) for row, batch in zip(range(_ALONE), cycle(batches))]
    scores, learns, alone = [], [], []
    for _ in range(repeat):
        scores.append(cpu_us(_each(detector.score, batches)) / (_BATCHES * SENSORS))
        learns.append(cpu_us(_each(detector.learn, batches)) / (_BATCHES * SENSORS))
        alone.append((cpu_us(_each(detector.score, lone)) + cpu_us(_each(detector.learn, lone))) / _ALONE)
    bytes_each = cost_per_sensor(build(one.kind, one.features, one.params), features=len(one.features))
    return Cost(one.name, median(scores), median(learns), median(alone), *bytes_each)


def _readings(features: int) -> Iterator[Batch]:
    """Rounds of one reading of every sensor; features as models/scaling.py scales them."""
    random = np.random.default_rng(0)
    slots, groups = np.arange(SENSORS), np.zeros(SENSORS, np.int64)
    time_ms, rows = 0, np.arange(SENSORS)
    while True:
        values = np.round(random.normal(20, 1, SENSORS), 2)
        scaled = np.clip(random.normal(0.5, 0.125, (SENSORS, features)), 0, 1)
        yield Batch(slots, np.full(SENSORS, time_ms), values, scaled, groups, rows)
        time_ms, rows = time_ms + _INTERVAL_MS, rows + SENSORS


def _take_in(detector: Detector, batch: Batch) -> None:
    """Learn, as a flow does: models that change with the event time change on the way."""
    time_ms = int(batch.time_ms[0])
    if isinstance(detector, Scheduled) and time_ms // detector.step_ms != (time_ms - _INTERVAL_MS) // detector.step_ms:
        detector.advance(time_ms // detector.step_ms * detector.step_ms)
    detector.learn(batch)


def _each(call: Callable[[Batch], object], batches: Sequence[Batch]) -> Callable[[], None]:
    def run() -> None:
        for batch in batches:
            call(batch)

    return run


def show(costs: Sequence[Cost], console: Console) -> None:
    """One table."""
    table = Table(title=f"Detectors by themselves: batches of {SENSORS:,} readings of as many sensors", box=SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for title in ("score µs", "learn µs", "alone µs", "B a sensor", "B in snapshot"):
        table.add_column(title, justify="right", no_wrap=True)
    for one in costs:
        table.add_row(
            one.name,
            f"{one.score_us:.2f}",
            f"{one.learn_us:.2f}",
            f"{one.alone_us:.1f}",
            f"{one.memory_bytes:,}",
            f"{one.snapshot_bytes:,}",
        )
    console.print(table)
