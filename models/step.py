"""Step: how far a value lies from the one before, whether that was learnt or not."""

import numpy as np

from models.compiled import compiled
from models.detector import Batch, Floats, Slots, check_state
from models.deviation import LARGEST
from models.slots import column, resized, slot_column

MIN_SAMPLES = 2

VERSION = 1


class Step:
    """Score: |delta|, in the sensor's unit. Needs the feature "delta" as measured, not scaled.

    Where delta is not known, the distance from the value learnt last stands for it. Only there: in an alarm nothing is
    learnt, and the distance from a value of long ago would outlast the fault. The scores have no scale of their own:
    calibrate them (see models.calibration).
    """

    def __init__(self, feature_names: tuple[str, ...]) -> None:
        if "delta" not in feature_names:
            raise ValueError(f"needs the feature 'delta', and is given {', '.join(feature_names) or 'none'}")
        self._place = feature_names.index("delta")
        self._sensors = 0
        self._last = np.zeros((0, 2))  # value learnt last, readings learnt

    def grow(self, sensors: int) -> None:
        """See Detector."""
        self._last = resized(self._last, sensors, 0.0)
        self._sensors = max(self._sensors, sensors)

    def score(self, batch: Batch) -> Floats:
        """See Detector."""
        slots, values = slot_column(batch.slots, self._sensors), column(batch.values, np.float64)
        return _score(self._last, slots, values, column(batch.features, np.float64), self._place)

    def learn(self, batch: Batch) -> None:
        """See Detector."""
        _learn(self._last, slot_column(batch.slots, self._sensors), column(batch.values, np.float64))

    def reset(self, slots: Slots) -> None:
        """See Detector."""
        self._last[slot_column(slots, self._sensors)] = 0.0

    @property
    def nbytes(self) -> int:
        """See Detector."""
        return self._last.nbytes

    def state(self) -> dict[str, object]:
        """See Detector."""
        return {"version": VERSION, "last": self._last[: self._sensors].copy()}

    def load(self, state: dict[str, object]) -> None:
        """See Detector."""
        check_state(state, version=VERSION)
        self._last = np.array(state["last"], np.float64)
        self._sensors = len(self._last)


@compiled
def _score(last: Floats, slots: Slots, values: Floats, features: Floats, place: int) -> Floats:
    scores = np.full(len(slots), np.nan)
    for row in range(len(slots)):
        if last[slots[row], 1] >= MIN_SAMPLES:
            delta = features[row, place]
            size = abs(values[row] - last[slots[row], 0]) if np.isnan(delta) else abs(delta)
            scores[row] = min(size, LARGEST)
    return scores


@compiled
def _learn(last: Floats, slots: Slots, values: Floats) -> None:
    for row in range(len(slots)):
        last[slots[row], 0] = values[row]
        last[slots[row], 1] += 1.0
