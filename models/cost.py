"""What a sensor costs: bytes in memory and in a snapshot, found by trying."""

import pickle
import zlib
from typing import NamedTuple

import numpy as np

from models.detector import Batch, Detector, Slots
from models.drift import DriftDetector

SENSORS = 8
ROWS = 300


class Cost(NamedTuple):
    """Bytes a sensor; in a snapshot compressed by zlib at level 1."""

    memory_bytes: int
    snapshot_bytes: int


def cost_per_sensor(detector: Detector | DriftDetector, *, features: int = 0) -> Cost:
    """Of a fresh detector that is given so many features; it is used up by this.

    ROWS made-up rows teach SENSORS sensors, then as many others: what those add is a sensor's own, without what all
    sensors share.
    """
    random = np.random.default_rng(0)
    memory, snapshot = [], []
    for sensors in (SENSORS, 2 * SENSORS):
        detector.grow(sensors)
        slots = np.arange(sensors - SENSORS, sensors)
        for row in range(ROWS):
            if isinstance(detector, Detector):
                detector.learn(_readings(slots, row, features, random))
            else:
                detector.update(slots, random.normal(0, 1, SENSORS))
        memory.append(detector.nbytes)
        snapshot.append(len(zlib.compress(pickle.dumps(detector.state(), protocol=5), 1)))
    return Cost(_each(memory), _each(snapshot))


def _readings(slots: Slots, row: int, features: int, random: np.random.Generator) -> Batch:
    """A row of each sensor: values around 20 with two decimals, features as models/scaling.py scales them."""
    n = len(slots)
    values = np.round(random.normal(20, 1, n), 2)
    scaled = np.clip(random.normal(0.5, 0.125, (n, features)), 0, 1)
    return Batch(slots, np.full(n, row * 1000), values, scaled, np.zeros(n, np.int64), row * n + np.arange(n))


def _each(totals: list[int]) -> int:
    fewer, more = totals
    return -(-(more - fewer) // SENSORS)
