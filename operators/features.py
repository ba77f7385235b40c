"""The feature vector of a reading, from its own sensor's past, in a fixed order."""

from typing import Any

import numpy as np

from models.compiled import compiled
from models.slots import resized
from operators.batches import Flags, Floats, Ints

FEATURE_NAMES = ("value", "delta", "rate_per_s")
"""value: as measured. delta: minus the value before. rate_per_s: delta per second. The last two are NaN for a sensor's
first reading and for one that is out of order."""

STATE_VERSION = 1


@compiled
def _differences(
    slot: Ints,
    time_ms: Ints,
    value: Floats,
    in_order: Flags,
    last_value: Floats,
    last_time_ms: Ints,
    vectors: Floats,
) -> None:
    for i in range(len(slot)):
        s = slot[i]
        vectors[i, 0], vectors[i, 1], vectors[i, 2] = value[i], np.nan, np.nan
        if in_order[i]:
            delta = value[i] - last_value[s]  # NaN for a first reading
            vectors[i, 1] = delta
            elapsed_ms = time_ms[i] - last_time_ms[s]
            if elapsed_ms > 0:
                vectors[i, 2] = delta * 1000.0 / elapsed_ms
            last_value[s], last_time_ms[s] = value[i], time_ms[i]


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

    def take_in(self, slot: Ints, time_ms: Ints, value: Floats, in_order: Flags) -> Floats:
        """(n, len(FEATURE_NAMES)) features of readings in offset order, each made before its reading is remembered.

        in_order: readings that are their sensor's newest; others have no differences and are not remembered.
        """
        vectors = np.empty((len(slot), len(FEATURE_NAMES)))
        _differences(slot, time_ms, value, in_order, self._value, self._time_ms, vectors)
        return vectors

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
