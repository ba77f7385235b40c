"""Deviation: how far a value, or a short mean of values, lies from a longer mean of its sensor's past."""

import numpy as np

from models.compiled import compiled
from models.detector import Batch, Floats, Slots, check_state
from models.slots import column, resized, slot_column

LARGEST = 1e150
"""Values are cut to this, so that no difference overflows."""

MIN_SAMPLES = 2

VERSION = 1


class Deviation:
    """Score: |short mean - long mean|, in the sensor's unit.

    long: readings over which the long mean fades (exponentially; a plain mean until there are as many).
    short: the same for the short mean, which takes in the reading that is scored. 1 is that reading itself.

    One with a short mean of a single reading sees values off their level, one with a longer short mean shifts of the
    level. The scores have no scale of their own: calibrate them (see models.calibration).
    """

    def __init__(self, feature_names: tuple[str, ...], *, long: int = 50, short: int = 1) -> None:
        if not (1 <= short <= long and long >= 1):
            raise ValueError(f"short = {short}, long = {long}: must be readings, 1 <= short <= long")
        self._long, self._short = float(long), float(short)
        self._sensors = 0
        self._means = np.zeros((0, 3))  # long mean, short mean, readings learnt

    def grow(self, sensors: int) -> None:
        """See Detector."""
        self._means = resized(self._means, sensors, 0.0)
        self._sensors = max(self._sensors, sensors)

    def score(self, batch: Batch) -> Floats:
        """See Detector."""
        return _score(
            self._means, slot_column(batch.slots, self._sensors), column(batch.values, np.float64), self._short
        )

    def learn(self, batch: Batch) -> None:
        """See Detector."""
        slots = slot_column(batch.slots, self._sensors)
        _learn(self._means, slots, column(batch.values, np.float64), self._long, self._short)

    def reset(self, slots: Slots) -> None:
        """See Detector."""
        self._means[slot_column(slots, self._sensors)] = 0.0

    @property
    def nbytes(self) -> int:
        """See Detector."""
        return self._means.nbytes

    def state(self) -> dict[str, object]:
        """See Detector."""
        means = self._means[: self._sensors].copy()
        return {"version": VERSION, "long": self._long, "short": self._short, "means": means}

    def load(self, state: dict[str, object]) -> None:
        """See Detector."""
        check_state(state, version=VERSION, long=self._long, short=self._short)
        self._means = np.array(state["means"], np.float64)
        self._sensors = len(self._means)


@compiled
def _score(means: Floats, slots: Slots, values: Floats, short: float) -> Floats:
    scores = np.full(len(slots), np.nan)
    for row in range(len(slots)):
        slot = slots[row]
        learnt = means[slot, 2]
        if learnt >= MIN_SAMPLES:
            value = min(max(values[row], -LARGEST), LARGEST)
            recent = means[slot, 1] + (value - means[slot, 1]) / min(learnt + 1.0, short)
            scores[row] = abs(recent - means[slot, 0])
    return scores


@compiled
def _learn(means: Floats, slots: Slots, values: Floats, long: float, short: float) -> None:
    for row in range(len(slots)):
        slot = slots[row]
        value = min(max(values[row], -LARGEST), LARGEST)
        learnt = means[slot, 2] + 1.0
        means[slot, 0] += (value - means[slot, 0]) / min(learnt, long)
        means[slot, 1] += (value - means[slot, 1]) / min(learnt, short)
        means[slot, 2] = learnt
