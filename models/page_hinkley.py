"""Compiled twin of river.drift.PageHinkley: the same drifts at the same values, for many sensors a call."""

import math
from typing import Literal

import numpy as np

from models.compiled import compiled
from models.detector import Floats, Slots, check_state
from models.drift import Flags
from models.running_moments import at_least, within_limits
from models.slots import column, resized, slot_column

VERSION = 1
# Values seen, their mean, the sums for a rise and for a fall, the least of the one and the greatest of the other.
_FRESH = (0.0, 0.0, 0.0, 0.0, math.inf, -1.0)


class PageHinkley:
    """Page's test, by River's formulas: the fading sum of deviations from the mean has left its extreme by `threshold`.

    min_instances: values to see before a drift is told.
    delta: the deviation that is tolerated, in the unit of the values.
    threshold: how far the sum may go, in the unit of the values.
    alpha: how much of the sum is kept with each value, 0 .. 1.
    mode: drifts that count: upwards, downwards or both.

    48 bytes a sensor. Values beyond +-1e100 are taken as +-1e100.
    """

    def __init__(
        self,
        *,
        min_instances: int = 30,
        delta: float = 0.005,
        threshold: float = 50.0,
        alpha: float = 1 - 0.0001,
        mode: Literal["up", "down", "both"] = "both",
    ) -> None:
        if mode not in ("up", "down", "both"):
            raise ValueError(f"mode = {mode!r}: must be 'up', 'down' or 'both'")
        for name, number in (("delta", delta), ("threshold", threshold)):
            if not (isinstance(number, int | float) and 0 <= number < math.inf):
                raise ValueError(f"{name} = {number!r}: must be a number, 0 or more")
        if not (isinstance(alpha, int | float) and 0 <= alpha <= 1):
            raise ValueError(f"alpha = {alpha!r}: must be from 0 to 1")
        self._min_instances = at_least("min_instances", min_instances, 0)
        self._delta, self._threshold, self._alpha = float(delta), float(threshold), float(alpha)
        self._up, self._down = mode != "down", mode != "up"
        self._parameters = {
            "version": VERSION,
            "min_instances": min_instances,
            "delta": self._delta,
            "threshold": self._threshold,
            "alpha": self._alpha,
            "mode": mode,
        }
        self._sensors = 0
        self._sums: Floats = np.zeros((0, len(_FRESH)))

    def grow(self, sensors: int) -> None:
        """See DriftDetector."""
        self._sums = resized(self._sums, sensors, _FRESH)
        self._sensors = max(self._sensors, sensors)

    def update(self, slots: Slots, values: Floats) -> Flags:
        """See DriftDetector."""
        return _update(
            self._sums,
            slot_column(slots, self._sensors),
            column(values, np.float64),
            self._min_instances,
            self._delta,
            self._threshold,
            self._alpha,
            self._up,
            self._down,
        )

    def reset(self, slots: Slots) -> None:
        """See DriftDetector."""
        self._sums[slot_column(slots, self._sensors)] = _FRESH

    @property
    def nbytes(self) -> int:
        """See DriftDetector."""
        return self._sums.nbytes

    def state(self) -> dict[str, object]:
        """See DriftDetector."""
        return {**self._parameters, "sums": self._sums[: self._sensors].copy()}

    def load(self, state: dict[str, object]) -> None:
        """See DriftDetector."""
        check_state(state, **self._parameters)
        self._sums = np.array(state["sums"], np.float64)
        self._sensors = len(self._sums)


@compiled
def _update(
    sums: Floats,
    slots: Slots,
    values: Floats,
    min_instances: int,
    delta: float,
    threshold: float,
    alpha: float,
    up: bool,
    down: bool,
) -> Flags:
    drifted = np.zeros(len(slots), np.bool_)
    for row in range(len(slots)):
        if np.isnan(values[row]):
            continue
        slot = slots[row]
        value = within_limits(values[row])
        seen = sums[slot, 0] + 1.0
        mean = sums[slot, 1] + (1.0 / seen) * (value - sums[slot, 1])
        deviation = value - mean
        rise = alpha * sums[slot, 2] + deviation - delta
        fall = alpha * sums[slot, 3] + deviation + delta
        least, greatest = min(sums[slot, 4], rise), max(sums[slot, 5], fall)
        if seen >= min_instances:
            drifted[row] = (up and rise - least > threshold) or (down and greatest - fall > threshold)
        if drifted[row]:
            seen, mean, rise, fall, least, greatest = _FRESH
        sums[slot, 0], sums[slot, 1], sums[slot, 2] = seen, mean, rise
        sums[slot, 3], sums[slot, 4], sums[slot, 5] = fall, least, greatest
    return drifted
