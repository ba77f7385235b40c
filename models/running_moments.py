"""Mean and variance of each sensor's values, by the very updates of River's stats.Mean and stats.Var (Welford, West).

What the twins of River's detectors on one value have in common; all but the score.
"""

import numpy as np

from models.compiled import compiled
from models.detector import Batch, Floats, Slots, check_state
from models.river_adapter import LIMIT
from models.slots import column, resized, slot_column

VERSION = 1


class RunningMoments:
    """Of all values, or of the last `window` when that is not 0; then 8 bytes a value more.

    moments: (sensors, 3) values learnt, mean, sum of squared deviations from it.
    ring: (sensors, window) the last values.
    """

    def __init__(self, *, window: int = 0) -> None:
        self._window = window
        self._sensors = 0
        self._moments: Floats = np.zeros((0, 3))
        self._ring: Floats = np.zeros((0, window))

    def grow(self, sensors: int) -> None:
        """See Detector."""
        self._moments = resized(self._moments, sensors, 0.0)
        self._ring = resized(self._ring, sensors, 0.0)
        self._sensors = max(self._sensors, sensors)

    def learn(self, batch: Batch) -> None:
        """See Detector."""
        slots = slot_column(batch.slots, self._sensors)
        _learn(self._moments, self._ring, slots, column(batch.values, np.float64))

    def reset(self, slots: Slots) -> None:
        """See Detector."""
        forgotten = slot_column(slots, self._sensors)
        self._moments[forgotten] = 0.0
        self._ring[forgotten] = 0.0

    @property
    def nbytes(self) -> int:
        """See Detector."""
        return self._moments.nbytes + self._ring.nbytes

    def state(self) -> dict[str, object]:
        """See Detector."""
        moments, ring = self._moments[: self._sensors].copy(), self._ring[: self._sensors].copy()
        return {"version": VERSION, "window": self._window, "moments": moments, "ring": ring}

    def load(self, state: dict[str, object]) -> None:
        """See Detector."""
        check_state(state, version=VERSION, window=self._window)
        self._moments, self._ring = np.array(state["moments"], np.float64), np.array(state["ring"], np.float64)
        self._sensors = len(self._moments)


def at_least(name: str, count: object, least: int) -> int:
    """A whole number among a detector's parameters. Raises ValueError."""
    if not (isinstance(count, int) and count >= least):
        raise ValueError(f"{name} = {count!r}: must be a whole number, at least {least}")
    return count


@compiled
def within_limits(value: float) -> float:
    """As RiverDetector hands it on: its square does not overflow."""
    return min(max(value, -LIMIT), LIMIT)


@compiled
def variance_of(known: float, squares: float) -> float:
    """Sample variance; 0 of one value."""
    return squares / (known - 1.0) if known > 1.0 else 0.0


@compiled
def _learn(moments: Floats, ring: Floats, slots: Slots, values: Floats) -> None:
    window = ring.shape[1]
    for row in range(len(slots)):
        slot = slots[row]
        value = within_limits(values[row])
        learnt, mean, squares = moments[slot, 0], moments[slot, 1], moments[slot, 2]
        known = learnt
        if window > 0:
            place = int(learnt) % window
            if learnt >= window:  # the oldest one leaves before the new one comes, as from River's Rolling
                oldest = ring[slot, place]
                known = window - 1.0
                before, mean = mean, (mean - (1.0 / known) * (oldest - mean) if known > 0.0 else 0.0)
                squares -= (oldest - before) * (oldest - mean)
            ring[slot, place] = value
        known += 1.0
        before, mean = mean, mean + (1.0 / known) * (value - mean)
        moments[slot, 0] = learnt + 1.0
        moments[slot, 1] = mean
        moments[slot, 2] = squares + (value - before) * (value - mean)
