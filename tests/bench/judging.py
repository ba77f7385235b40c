"""What a verdict costs: all configured detectors, with features, calibration and fusion, as a shard runs them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from flows.parts import detection
from flows.settings import Settings
from flows.worker import collect_seldom
from models.catalog import build
from models.detector import Batch
from models.manifest import SHIPPED, read_manifest
from operators.detect import Detection
from operators.state import pack
from tests.bench.measure import cpu_us

SENSORS = 1000
"""In the shard that is measured."""
FEW = 2
"""Sensors of a shard that catches up: rounds of two readings."""
CATCH_UP = 10_000
"""Readings in one of its batches."""

_WARM_UP = 400
"""Readings of each sensor before it is measured; all detectors are known by then."""
_INTERVAL_MS = 10_000
_TFLITE = "models.tflite.TFLite"


@dataclass(frozen=True, slots=True)
class Judging:
    """CPU microseconds of a reading, median of the runs; bytes of a sensor.

    batch_us: in batches of a reading of each of SENSORS sensors. alone_us: of the same, each in its own batch.
    catch_up_us: in batches of CATCH_UP readings of FEW sensors.
    snapshot_bytes: packed as for the recovery store.
    """

    batch_us: float
    alone_us: float
    catch_up_us: float
    memory_bytes: float
    snapshot_bytes: float


def measure_judging(settings: Settings, *, repeat: int = 7, warm_up: int = _WARM_UP, batches: int = 20) -> Judging:
    """All detectors of these settings through Detection.judge. Raises KindError."""
    collect_seldom()  # as the worker does
    many, readings = _shard(settings, SENSORS), _readings(SENSORS)
    for _ in range(warm_up):
        many.judge(**next(readings))
    in_batches, alone = [], []
    for _ in range(repeat):
        given = [next(readings) for _ in range(batches)]
        in_batches.append(cpu_us(_judging(many, given)) / (batches * SENSORS))
        one_by_one = list(_cut(next(readings)))
        alone.append(cpu_us(_judging(many, one_by_one)) / SENSORS)
    few, long = _shard(settings, FEW), _long_batches()
    many_of_few = [cpu_us(_judging(few, [next(long)])) / CATCH_UP for _ in range(1 + repeat)][1:]
    snapshot = len(pack(many.snapshot())[1])
    return Judging(median(in_batches), median(alone), median(many_of_few), many.nbytes / SENSORS, snapshot / SENSORS)


def tflite_alone_us(*, repeat: int = 5, rows: int = 300) -> float:
    """The shipped TFLite model on one row: score and learn, CPU microseconds, median of the runs."""
    names = read_manifest(SHIPPED).feature_names
    detector = build(_TFLITE, names, {})
    detector.grow(1)
    zero = np.zeros(1, np.int64)
    batch = Batch(zero, zero, np.ones(1), np.full((1, len(names)), 0.5), zero, zero)

    def run() -> None:
        for _ in range(rows):
            detector.score(batch)
            detector.learn(batch)

    run()
    return median(cpu_us(run) / rows for _ in range(repeat))


def _shard(settings: Settings, sensors: int) -> Detection:
    made = detection(settings)
    made.enrol(np.arange(sensors), ["temperature"] * sensors, [""] * sensors)
    return made


def _judging(shard: Detection, batches: list[dict[str, Any]]) -> Callable[[], None]:
    def run() -> None:
        for batch in batches:
            shard.judge(**batch)

    return run


def _columns(slot: Any, time_ms: Any, random: np.random.Generator) -> dict[str, Any]:
    """Readings on time, values with two decimals."""
    n = len(slot)
    return {
        "slot": slot,
        "time_ms": time_ms,
        "value": np.round(random.normal(20, 1, n), 2),
        "watermark_ms": time_ms,
        "teaches": np.ones(n, np.bool_),
        "out_of_range": np.zeros(n, np.bool_),
        "stuck": np.zeros(n, np.bool_),
    }


def _readings(sensors: int) -> Iterator[dict[str, Any]]:
    """Batches of one reading of every sensor."""
    random, time_ms = np.random.default_rng(0), 0
    while True:
        yield _columns(np.arange(sensors), np.full(sensors, time_ms), random)
        time_ms += _INTERVAL_MS


def _long_batches() -> Iterator[dict[str, Any]]:
    """Batches of CATCH_UP readings of FEW sensors, which take turns."""
    random, row = np.random.default_rng(1), np.arange(CATCH_UP)
    while True:
        yield _columns(row % FEW, row // FEW * _INTERVAL_MS, random)
        row = row + CATCH_UP


def _cut(batch: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Its readings, each as a batch of its own."""
    for row in range(len(batch["slot"])):
        yield {name: one[row : row + 1] for name, one in batch.items()}
