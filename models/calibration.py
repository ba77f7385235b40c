"""Raw scores of any detector on one scale: tail surprise, -log10 of the chance of so high a score in the sensor's past.

Per sensor and detector the past is a histogram over the logarithm of the score, in units of the sensor's first scores:
fine where scores usually lie, coarse far out. Where fewer than TAIL of the past lie above a score, a generalised Pareto
tail is laid over that part of the histogram (peaks over threshold: Coles, An Introduction to Statistical Modeling of
Extreme Values, 2001, chapter 4; its parameters by moments, Hosking and Wallis 1987), so that scores beyond all of the
past still differ.
"""

import numpy as np
import numpy.typing as npt

from models.compiled import compiled
from models.detector import Floats, Slots, check_state
from models.slots import column, resized, slot_column

FIRST = 20
"""Scores whose mean becomes the unit of a sensor's histogram; they are not counted in it."""
WARM_UP = 40
"""Further scores before surprise is known."""
MAX_SURPRISE = 30.0

TAIL = 0.02
LEAST_IN_TAIL = 10.0
SHAPE, SHAPE_WEIGHT = 0.0, 50.0
"""The tail's shape before anything is known, exponential, and how many scores that is worth."""

QUARTERS = 4
"""Counts are kept in quarters, so that a single far score is still there after one and two halvings, then forgotten."""
HORIZON = 50_000
"""Scores after which all counts are halved: the past that surprise is about is that many scores, up to twice."""

VERSION = 1

Counts = npt.NDArray[np.uint16]


def _edges() -> Floats:
    """Lower edges of the bins, in units; the first bin is from 0."""
    parts = ((-6, -2, 2), (-2, 1, 8), (1, 4, 4), (4, 14, 2))  # from 2**a to 2**b in so many steps an octave
    steps = np.concatenate([np.arange(low, high, 1 / per_octave) for low, high, per_octave in parts])
    return np.concatenate([[0.0], np.exp2(steps)])


_EDGES = _edges()
BINS = len(_EDGES)


class TailSurprise:
    """Calibrates `columns` raw scores of each sensor. A row of `surprise` is about the rows learnt before.

    Memory: 2 * BINS + 16 bytes per sensor and column.
    """

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._sensors = 0
        self._counts: Counts = np.zeros((0, columns, BINS), np.uint16)
        self._units = np.zeros((0, columns, 2))  # the unit, and of how many scores it is the mean

    def grow(self, sensors: int) -> None:
        """There are now `sensors` slots; new ones start fresh."""
        self._counts = resized(self._counts, sensors, 0)
        self._units = resized(self._units, sensors, 0.0)
        self._sensors = max(self._sensors, sensors)

    def surprise(self, slots: Slots, raw: Floats, *, first: int = 0) -> Floats:
        """(n, k) raw scores of the columns from `first` on -> (n, k) surprise, 0 .. MAX_SURPRISE.

        Scores below 0 count as 0. NaN for NaN, and until FIRST + WARM_UP scores of a column were learnt. Changes
        nothing.
        """
        surprises = np.empty(raw.shape)
        _surprises(
            self._counts, self._units, slot_column(slots, self._sensors), column(raw, np.float64), first, surprises
        )
        return surprises

    def learn(self, slots: Slots, raw: Floats) -> None:
        """Take in (n, columns) raw scores; NaN are left out."""
        _learn(self._counts, self._units, slot_column(slots, self._sensors), column(raw, np.float64))

    def reset(self, slots: Slots) -> None:
        """Forget these sensors."""
        self._counts[slot_column(slots, self._sensors)] = 0
        self._units[slots] = 0.0

    def reset_column(self, place: int) -> None:
        """Forget one detector's scores of all sensors: its model is another one now."""
        self._counts[:, place] = 0
        self._units[:, place] = 0.0

    @property
    def nbytes(self) -> int:
        """Memory of the state, bytes."""
        return self._counts.nbytes + self._units.nbytes

    def state(self) -> dict[str, object]:
        """A copy, plain."""
        n = self._sensors
        shape = {"version": VERSION, "columns": self._columns, "bins": BINS}
        return {**shape, "counts": self._counts[:n].copy(), "units": self._units[:n].copy()}

    def load(self, state: dict[str, object]) -> None:
        """Go on from `state()`. Raises ValueError when it does not fit."""
        check_state(state, version=VERSION, columns=self._columns, bins=BINS)
        self._counts = np.array(state["counts"], np.uint16)
        self._units = np.array(state["units"], np.float64)
        self._sensors = len(self._counts)


@compiled
def _bin(score: float) -> int:
    """The bin of a score in units: the last one whose lower edge is not above it."""
    low, high = 0, BINS
    while high - low > 1:
        middle = (low + high) // 2
        if score >= _EDGES[middle]:
            low = middle
        else:
            high = middle
    return low


@compiled
def _middle(place: int) -> float:
    if place == BINS - 1:
        return float(_EDGES[place] * 2.0**0.25)
    return float(0.5 * (_EDGES[place] + _EDGES[place + 1]))


@compiled
def _tail(score: float, counts: Counts, wanted: float) -> tuple[float, float]:
    """Beyond the lowest edge above which at least `wanted` quarter counts lie: how many do, and -log10 of the part of
    those expected above the score; (0, 0) when the score is below that edge."""
    inside, edge = 0.0, BINS
    while inside < wanted and edge > 0:
        edge -= 1
        inside += counts[edge]
    start = _EDGES[edge]
    if inside < wanted or score <= start:
        return 0.0, 0.0
    mean, square = 0.0, 0.0
    for place in range(edge, BINS):
        excess = _middle(place) - start
        mean += counts[place] * excess / inside
        square += counts[place] * excess * excess / inside
    variance = max(square - mean * mean, 1e-3 * mean * mean)
    weight = inside / QUARTERS
    shape = min(max(0.5 * (1.0 - mean * mean / variance), -0.2), 0.6)
    shape = (weight * shape + SHAPE_WEIGHT * SHAPE) / (weight + SHAPE_WEIGHT)
    shape = shape if abs(shape) > 1e-6 else 1e-6
    within = 1.0 + shape * (score - start) / (mean * (1.0 - shape))
    return inside, np.log10(max(within, 1e-12)) / shape


@compiled
def _surprise(score: float, counts: Counts) -> float:
    """Of one score in units; infinity for one of a sensor without a unit: so strange as none was so far."""
    place = _bin(score)
    total, above = 0.0, 0.0
    for i in range(BINS):
        total += counts[i]
        if i > place:
            above += counts[i]
    if total < WARM_UP * QUARTERS:
        return np.nan
    if place < BINS - 1:
        width = _EDGES[place + 1] - _EDGES[place]
        above += counts[place] * (1.0 - (score - _EDGES[place]) / width)
    else:
        above += counts[place] if np.isfinite(score) else 0
    half = 0.5 * QUARTERS
    counted = -np.log10((above + half) / (total + QUARTERS))
    wanted = max(TAIL * total, LEAST_IN_TAIL * QUARTERS)
    if above >= wanted or np.isinf(score):
        return float(max(counted, 0.0))
    inside, beyond = _tail(score, counts, wanted)
    if inside == 0.0:
        return float(max(counted, 0.0))
    fitted = beyond - np.log10((inside + half) / (total + QUARTERS))
    # As often as such a score was really seen, it is to be expected, whatever the tail says.
    if above >= half:
        fitted = min(fitted, counted)
    return float(min(max(fitted, 0.0), MAX_SURPRISE))


@compiled
def _surprises(counts: Counts, units: Floats, slots: Slots, raw: Floats, first: int, surprises: Floats) -> None:
    for row in range(len(slots)):
        slot = slots[row]
        for k in range(raw.shape[1]):
            unit, score = units[slot, first + k, 0], max(raw[row, k], 0.0)
            if np.isnan(score):
                surprises[row, k] = np.nan
            elif unit > 0.0:
                surprises[row, k] = _surprise(score / unit, counts[slot, first + k])
            else:  # nothing but zeros so far, if anything
                surprises[row, k] = _surprise(np.inf if score > 0.0 else 0.0, counts[slot, first + k])


@compiled
def _learn(counts: Counts, units: Floats, slots: Slots, raw: Floats) -> None:
    for row in range(len(slots)):
        slot = slots[row]
        for k in range(raw.shape[1]):
            score = max(raw[row, k], 0.0)
            if np.isnan(score):
                continue
            seen = units[slot, k, 1]
            if seen < FIRST:
                units[slot, k, 0] += (score - units[slot, k, 0]) / (seen + 1.0)
                units[slot, k, 1] = seen + 1.0
                continue
            if units[slot, k, 0] == 0.0:
                units[slot, k, 0] = score
            unit = units[slot, k, 0]
            place = _bin(score / unit) if unit > 0.0 else 0
            mine = counts[slot, k]
            if mine[place] > 65_535 - QUARTERS:
                _halve(mine)
            mine[place] += QUARTERS
            total = 0.0
            for i in range(BINS):
                total += mine[i]
            if total > 2 * HORIZON * QUARTERS:
                _halve(mine)


@compiled
def _halve(counts: Counts) -> None:
    for i in range(BINS):
        counts[i] //= 2
