"""Features on one scale for every sensor: where a number stands in its own sensor's past.

0.5 is the sensor's own mean, each 1/8 further is one of its standard deviations; cut at 4 of them, so within 0 .. 1.
Mean and variance are learnt with weights 1 / n at first, later 1 / HORIZON. A number further than 4 standard deviations
from the mean teaches as if it were there, so that a fault shifts little and a new normal is still reached.
"""

import numpy as np

from models.compiled import compiled
from models.detector import Floats, Slots, check_state
from models.slots import resized

WARM_UP = 20
"""Rows a sensor must have taught before its numbers are scaled."""
HORIZON = 2000
LIMIT = 4.0
NOISE = 1e-9
"""A standard deviation below this part of the mean is taken for rounding."""

VERSION = 1


class Scaling:
    """Means and variances of `width` features of a shard's sensors; besides: columns that are left alone."""

    def __init__(self, width: int, *, besides: slice = slice(0)) -> None:
        self._width = width
        self._columns = np.delete(np.arange(width), besides)
        self._sensors = 0
        self._moments = np.empty((0, width, 2))
        self._learnt = np.empty(0, np.int64)

    def grow(self, sensors: int) -> None:
        """There are now so many slots."""
        self._moments = resized(self._moments, sensors, 0.0)
        self._learnt = resized(self._learnt, sensors, 0)
        self._sensors = max(self._sensors, sensors)

    def reset(self, slots: Slots) -> None:
        """Forget these sensors."""
        self._moments[slots] = 0.0
        self._learnt[slots] = 0

    def take_in(self, slots: Slots, features: Floats, teaches: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Floats:
        """(n, width) features in order of arrival -> (n, width) scaled; each row is scaled, then learnt.

        teaches: (n,) rows to learn; of those only rows without a missing feature are. NaN stays NaN. Columns that are
        left alone hold nothing of use.
        """
        scaled = np.empty((len(slots), self._width))
        _scale(self._moments, self._learnt, self._columns, slots, features, teaches, scaled)
        return scaled

    @property
    def nbytes(self) -> int:
        """Memory of the state, bytes."""
        return self._moments.nbytes + self._learnt.nbytes

    def state(self) -> dict[str, object]:
        """A copy, plain."""
        n = self._sensors
        return {
            "version": VERSION,
            "width": self._width,
            "moments": self._moments[:n].copy(),
            "learnt": self._learnt[:n].copy(),
        }

    def load(self, state: dict[str, object]) -> None:
        """Go on from `state()`. Raises ValueError when it is of another version or width."""
        check_state(state, version=VERSION, width=self._width)
        self._moments = np.array(state["moments"], np.float64)
        self._learnt = np.array(state["learnt"], np.int64)
        self._sensors = len(self._learnt)


@compiled
def _scale(
    moments: Floats,
    learnt: Slots,
    columns: Slots,
    slots: Slots,
    features: Floats,
    teaches: np.ndarray[tuple[int], np.dtype[np.bool_]],
    scaled: Floats,
) -> None:
    for row in range(len(slots)):
        slot = slots[row]
        known = learnt[slot]
        complete = teaches[row]
        for k in columns:
            complete = complete and not np.isnan(features[row, k])
        rate = max(1.0 / (known + 1), 1.0 / HORIZON)
        for k in columns:
            mean, variance = moments[slot, k, 0], moments[slot, k, 1]
            away = features[row, k] - mean  # NaN for a missing feature
            deviation = max(np.sqrt(variance), NOISE * abs(mean))
            scaled[row, k] = np.nan
            if known >= WARM_UP:
                if deviation > 0.0:
                    away = min(max(away, -LIMIT * deviation), LIMIT * deviation) if not np.isnan(away) else away
                    scaled[row, k] = 0.5 + away / (2.0 * LIMIT * deviation)
                elif not np.isnan(away):
                    scaled[row, k] = 0.5 if away == 0.0 else (0.0 if away < 0.0 else 1.0)
            if complete:
                # West's update of an exponentially weighted mean and variance.
                moments[slot, k, 0] = mean + rate * away
                moments[slot, k, 1] = (1.0 - rate) * (variance + rate * away * away)
        if complete:
            learnt[slot] = known + 1
