"""Rolling z-score: how many standard deviations a value lies from the mean of its sensor's last values."""

import numpy as np

from models.compiled import compiled
from models.detector import Batch, Floats, Slots, check_state
from models.slots import column, resized, slot_column

MAX_SCORE = 1e6
"""Scores end here, so that they stay finite where the last values hardly differ or do not differ at all."""

NOISE = 1e-9
"""A standard deviation below this part of the mean is taken for rounding, and this part is used in its place."""

VERSION = 1


class RollingZ:
    """Score: |value - mean| / stddev (population) over the sensor's last `window` learnt values, 0 .. MAX_SCORE.

    window: how many values are kept, 8 bytes each a sensor.
    min_samples: a sensor is unknown (NaN) until it has learnt as many.
    min_std: the least standard deviation assumed, in the sensor's unit; the resolution of sensors that send few
        different values, whose next step would otherwise be infinitely strange.

    Of a constant history (min_std 0) an equal value scores 0, and another one MAX_SCORE, unless it differs by mere
    rounding (see NOISE).
    """

    def __init__(
        self, feature_names: tuple[str, ...], *, window: int = 60, min_samples: int = 20, min_std: float = 0.0
    ) -> None:
        if not 2 <= min_samples <= window:
            raise ValueError(f"min_samples = {min_samples}: must be from 2 to window ({window})")
        if not 0 <= min_std < np.inf:
            raise ValueError(f"min_std = {min_std}: must be 0 or more, in the sensor's unit")
        self._window, self._min_samples, self._min_std = window, min_samples, float(min_std)
        self._sensors = 0
        self._ring: Floats = np.zeros((0, window))
        self._learnt: Slots = np.zeros(0, np.int64)

    def grow(self, sensors: int) -> None:
        """See Detector."""
        self._ring = resized(self._ring, sensors, 0.0)
        self._learnt = resized(self._learnt, sensors, 0)
        self._sensors = max(self._sensors, sensors)

    def score(self, batch: Batch) -> Floats:
        """See Detector."""
        slots = slot_column(batch.slots, self._sensors)
        values = column(batch.values, np.float64)
        return _score(self._ring, self._learnt, slots, values, self._min_samples, self._min_std)

    def learn(self, batch: Batch) -> None:
        """See Detector."""
        slots = slot_column(batch.slots, self._sensors)
        _learn(self._ring, self._learnt, slots, column(batch.values, np.float64))

    def reset(self, slots: Slots) -> None:
        """See Detector."""
        self._learnt[slot_column(slots, self._sensors)] = 0

    @property
    def nbytes(self) -> int:
        """See Detector."""
        return self._ring.nbytes + self._learnt.nbytes

    def state(self) -> dict[str, object]:
        """See Detector."""
        ring, learnt = self._ring[: self._sensors].copy(), self._learnt[: self._sensors].copy()
        return {"version": VERSION, "window": self._window, "ring": ring, "learnt": learnt}

    def load(self, state: dict[str, object]) -> None:
        """See Detector."""
        check_state(state, version=VERSION, window=self._window)
        self._ring, self._learnt = np.array(state["ring"], np.float64), np.array(state["learnt"], np.int64)
        self._sensors = len(self._learnt)


@compiled
def _learn(ring: Floats, learnt: Slots, slots: Slots, values: Floats) -> None:
    for row in range(len(slots)):
        slot = slots[row]
        ring[slot, learnt[slot] % ring.shape[1]] = values[row]
        learnt[slot] += 1


@compiled
def _score(ring: Floats, learnt: Slots, slots: Slots, values: Floats, min_samples: int, min_std: float) -> Floats:
    scores = np.full(len(slots), np.nan)
    window = ring.shape[1]
    deviations = np.empty(window)
    for row in range(len(slots)):
        slot = slots[row]
        known = min(learnt[slot], window)
        if known < min_samples:
            continue
        # Halves, and deviations from one of the values: no difference overflows, and equal values deviate by exactly 0.
        origin = 0.5 * ring[slot, 0]
        total = 0.0
        largest = 0.0
        for i in range(known):
            deviations[i] = 0.5 * ring[slot, i] - origin
            total += deviations[i] / known
            largest = max(largest, abs(deviations[i]))
        squares = 0.0
        if largest > 0.0:
            for i in range(known):
                squares += ((deviations[i] - total) / largest) ** 2
        deviation = max(largest * np.sqrt(squares / known), NOISE * abs(origin + total), 0.5 * min_std)
        distance = abs(0.5 * values[row] - origin - total)
        if distance < MAX_SCORE * deviation:
            scores[row] = distance / deviation
        else:
            scores[row] = MAX_SCORE if distance > 0.0 else 0.0
    return scores
