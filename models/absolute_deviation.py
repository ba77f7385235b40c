"""Compiled twin of river.anomaly.StandardAbsoluteDeviation: the same scores within 1e-12, for many sensors a call."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.compiled import compiled
from models.detector import Batch, Floats, Slots
from models.river_adapter import DEFAULT_WARM_UP
from models.running_moments import RunningMoments, at_least, variance_of, within_limits
from models.slots import column, slot_column


class StandardAbsoluteDeviation(RunningMoments):
    """Score: |value - mean| / (standard deviation + 1e-10) over all of the sensor's values, 0 or more.

    warm_up: values to learn before scores are given. River's `sub_stat`, one in place of the mean, is left to it.

    Like RiverDetector around River's: values beyond +-1e100 are taken as +-1e100.
    """

    def __init__(
        self,
        feature_names: tuple[str, ...],
        *,
        warm_up: int = DEFAULT_WARM_UP,
    ) -> None:
        super().__init__()
        self._warm_up = at_least("warm_up", warm_up, 1)

    @staticmethod
    def covers(params: Mapping[str, Any]) -> bool:
        """Whether the deviation is one from the mean."""
        return "sub_stat" not in params

    def score(self, batch: Batch) -> Floats:
        """See Detector."""
        slots = slot_column(batch.slots, self._sensors)
        return _score(self._moments, slots, column(batch.values, np.float64), self._warm_up)


@compiled
def _score(moments: Floats, slots: Slots, values: Floats, warm_up: int) -> Floats:
    scores = np.full(len(slots), np.nan)
    for row in range(len(slots)):
        learnt, mean, squares = moments[slots[row], 0], moments[slots[row], 1], moments[slots[row], 2]
        if learnt >= warm_up:
            deviation = variance_of(learnt, squares) ** 0.5
            scores[row] = abs((within_limits(values[row]) - mean) / (deviation + 1e-10))
    return scores
