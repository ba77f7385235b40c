"""The feature vector of a reading, from its own sensor's past, in a fixed order."""

from typing import Any

import numpy as np

from models.slots import resized
from operators.batches import Flags, Floats, Ints

FEATURE_NAMES = ("value", "delta", "rate_per_s")
"""value: as measured. delta: minus the value before. rate_per_s: delta per second. The last two are NaN for a sensor's
first reading and for one that is out of order."""

STATE_VERSION = 1


class Features:
    """Feature state of one shard's sensors."""

    def __init__(self) -> None:
        self._sensors = 0
        self._value = np.empty(0)
        self._time_ms = np.empty(0, np.int64)

    def grow(self, sensors: int) -> None:
        """There are now so many slots."""
        self._sensors = sensors
        self._value = resized(self._value, sensors, np.nan)
        self._time_ms = resized(self._time_ms, sensors, 0)

    def vectors(self, slot: Ints, time_ms: Ints, value: Floats, in_order: Flags) -> Floats:
        """(n, len(FEATURE_NAMES)) features of readings of different sensors. Changes nothing."""
        delta = np.where(in_order, value - self._value[slot], np.nan)
        seconds = (time_ms - self._time_ms[slot]) / 1000.0
        rate = np.divide(delta, seconds, out=np.full(len(delta), np.nan), where=seconds > 0)
        return np.stack([value, delta, rate], axis=1)

    def learn(self, slot: Ints, time_ms: Ints, value: Floats) -> None:
        """These readings are now their sensors' newest."""
        self._value[slot] = value
        self._time_ms[slot] = time_ms

    @property
    def nbytes(self) -> int:
        """Memory of the state, bytes."""
        return self._value.nbytes + self._time_ms.nbytes

    def snapshot(self) -> tuple[Any, ...]:
        """Plain arrays."""
        return (STATE_VERSION, self._value[: self._sensors].copy(), self._time_ms[: self._sensors].copy())

    def load(self, state: tuple[Any, ...]) -> None:
        """Go on from `snapshot()`."""
        _, self._value, self._time_ms = state
        self._sensors = len(self._value)
