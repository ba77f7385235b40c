"""Compiled twin of river.anomaly.GaussianScorer: the same scores within 1e-12, for many sensors a call."""

import math

import numpy as np

from models.compiled import compiled
from models.detector import Batch, Floats, Slots
from models.river_adapter import NOISE
from models.running_moments import RunningMoments, at_least, variance_of, within_limits
from models.slots import column, slot_column


class GaussianScorer(RunningMoments):
    """Score: 2 |CDF(value) - 0.5| of the normal distribution fitted to the sensor's values, 0 .. 1.

    window_size: fitted to the last so many values (8 bytes each a sensor), to all when left out.
    grace_period: with fewer values learnt (or in the window) scores are 0, as River's are.
    warm_up: values to learn before scores are given; the grace period when left out.

    Like RiverDetector around River's: while the variance is 0 or mere rounding, a value equal to the mean scores 0, and
    another one 1; values beyond +-1e100 are taken as +-1e100.
    """

    def __init__(
        self,
        feature_names: tuple[str, ...],
        *,
        window_size: int | None = None,
        grace_period: int = 100,
        warm_up: int | None = None,
    ) -> None:
        at_least("grace_period", grace_period, 0)
        if window_size and at_least("window_size", window_size, 1) < grace_period:
            raise ValueError(
                f"window_size = {window_size} is less than grace_period = {grace_period}: it would never score"
            )
        super().__init__(window=window_size or 0)
        self._grace_period = grace_period
        self._warm_up = max(1, grace_period) if warm_up is None else at_least("warm_up", warm_up, 1)

    def score(self, batch: Batch) -> Floats:
        """See Detector."""
        slots = slot_column(batch.slots, self._sensors)
        values = column(batch.values, np.float64)
        return _score(self._moments, slots, values, self._window, self._warm_up, self._grace_period)


@compiled
def _score(moments: Floats, slots: Slots, values: Floats, window: int, warm_up: int, grace_period: int) -> Floats:
    scores = np.full(len(slots), np.nan)
    for row in range(len(slots)):
        learnt, mean, squares = moments[slots[row], 0], moments[slots[row], 1], moments[slots[row], 2]
        if learnt < warm_up:
            continue
        known = min(learnt, window) if window > 0 else learnt
        variance = variance_of(known, squares)
        noise = NOISE * abs(mean)
        distance = within_limits(values[row]) - mean
        # A windowed variance that should be 0 can turn out negative.
        if variance < 0.0 or variance**0.5 <= noise:
            scores[row] = 1.0 if abs(distance) > noise else 0.0
        elif known < grace_period:
            scores[row] = 0.0
        else:
            below = 0.5 * (1.0 + math.erf(distance / variance**0.5 / math.sqrt(2.0)))
            scores[row] = 2.0 * abs(below - 0.5)
    return scores
