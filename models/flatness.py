"""Flatness: how unlikely it is that a sensor repeats one value so many times in a row."""

import numpy as np

from models.compiled import compiled
from models.detector import Batch, Floats, Slots, check_state
from models.slots import column, resized, slot_column

MIN_SAMPLES = 20
HORIZON = 20_000
"""Readings over which the usual share of repetitions fades."""

LAST, RUN, SHARE, LEARNT, CHANGED = range(5)
"""Value learnt last; repetitions of it; share of readings that repeat; readings learnt; 1 once a value was another."""

VERSION = 1


class Flatness:
    """Score: repetitions in a row * -log10(share of readings that repeat the one before); 0 for another value.

    That is -log10 of the chance of such a run, were repetitions independent. A sensor with noise in its last digit
    scores high within a few readings once it is stuck, a slow or coarse one only when it has shown a value for many
    times longer than usual, a constant one never.
    """

    def __init__(self, feature_names: tuple[str, ...]) -> None:
        self._sensors = 0
        self._runs = np.zeros((0, 5))

    def grow(self, sensors: int) -> None:
        """See Detector."""
        self._runs = resized(self._runs, sensors, 0.0)
        self._sensors = max(self._sensors, sensors)

    def score(self, batch: Batch) -> Floats:
        """See Detector."""
        return _score(self._runs, slot_column(batch.slots, self._sensors), column(batch.values, np.float64))

    def learn(self, batch: Batch) -> None:
        """See Detector."""
        _learn(self._runs, slot_column(batch.slots, self._sensors), column(batch.values, np.float64))

    def reset(self, slots: Slots) -> None:
        """See Detector."""
        self._runs[slot_column(slots, self._sensors)] = 0.0

    @property
    def nbytes(self) -> int:
        """See Detector."""
        return self._runs.nbytes

    def state(self) -> dict[str, object]:
        """See Detector."""
        return {"version": VERSION, "runs": self._runs[: self._sensors].copy()}

    def load(self, state: dict[str, object]) -> None:
        """See Detector."""
        check_state(state, version=VERSION)
        self._runs = np.array(state["runs"], np.float64)
        self._sensors = len(self._runs)


@compiled
def _score(runs: Floats, slots: Slots, values: Floats) -> Floats:
    scores = np.full(len(slots), np.nan)
    for row in range(len(slots)):
        mine = runs[slots[row]]
        if mine[LEARNT] >= MIN_SAMPLES:
            # One of either kind more than were seen (Laplace), so that no chance is 0 or 1.
            seen = min(mine[LEARNT], HORIZON)
            share = (mine[SHARE] * seen + 1.0) / (seen + 2.0)
            repeats = values[row] == mine[LAST] and mine[CHANGED] > 0.0
            scores[row] = -(mine[RUN] + 1.0) * np.log10(share) if repeats else 0.0
    return scores


@compiled
def _learn(runs: Floats, slots: Slots, values: Floats) -> None:
    for row in range(len(slots)):
        mine, value = runs[slots[row]], values[row]
        if mine[LEARNT] > 0.0:
            repeats = value == mine[LAST]
            mine[RUN] = mine[RUN] + 1.0 if repeats else 0.0
            mine[SHARE] += ((1.0 if repeats else 0.0) - mine[SHARE]) / min(mine[LEARNT], HORIZON)
            if not repeats:
                mine[CHANGED] = 1.0
        mine[LAST] = value
        mine[LEARNT] += 1.0
