"""A detector of one's own: how far a reading is from the median of its sensor's last readings.

[[detectors]]
name = "median"
kind = "own_detector.FromMedian"    # this file lies beside streamgauge.toml, or is installed
features = []
params = { window = 15 }
"""

import numpy as np

from models.detector import Batch, Floats, Slots, check_state
from models.slots import resized, slot_column


class FromMedian:
    """Score: |value - median| over the median distance from it, of the last `window` readings that taught."""

    def __init__(self, feature_names: tuple[str, ...], *, window: int = 15) -> None:
        if window < 3:
            raise ValueError(f"window = {window}: must be at least 3 readings")
        self._window = window
        self._ring: Floats = np.empty((0, window))
        self._learnt: Slots = np.empty(0, np.int64)

    def grow(self, sensors: int) -> None:
        """New sensors know nothing: NaN."""
        self._ring = resized(self._ring, sensors, np.nan)
        self._learnt = resized(self._learnt, sensors, 0)

    def score(self, batch: Batch) -> Floats:
        """NaN until the ring is full."""
        slots = slot_column(batch.slots, len(self._learnt))
        last = self._ring[slots]
        middle = np.median(last, axis=1)
        spread = np.median(np.abs(last - middle[:, None]), axis=1)
        return np.abs(batch.values - middle) / np.maximum(spread, 1e-9 * np.abs(middle) + 1e-300)

    def learn(self, batch: Batch) -> None:
        """Into the ring."""
        slots = slot_column(batch.slots, len(self._learnt))
        self._ring[slots, self._learnt[slots] % self._window] = batch.values
        self._learnt[slots] += 1

    def reset(self, slots: Slots) -> None:
        """Forget these sensors."""
        self._ring[slots], self._learnt[slots] = np.nan, 0

    @property
    def nbytes(self) -> int:
        """Memory, bytes."""
        return self._ring.nbytes + self._learnt.nbytes

    def state(self) -> dict[str, object]:
        """A copy."""
        return {"version": 1, "window": self._window, "ring": self._ring.copy(), "learnt": self._learnt.copy()}

    def load(self, state: dict[str, object]) -> None:
        """Go on from it."""
        check_state(state, version=1, window=self._window)
        self._ring, self._learnt = np.array(state["ring"], np.float64), np.array(state["learnt"], np.int64)
