"""Raw scores of any detector on one scale, from the sensor's own past: -log10 of the chance of so high a score.

Per sensor and detector the past is a histogram over the logarithm of the score, in units of the sensor's first scores:
fine where scores usually lie, coarse far out. Two numbers come out of it, for two questions:

novelty: how strange is this beside everything seen before? The share of the past above the score; where that is less
    than TAIL, a generalised Pareto tail is laid over that part of the histogram (peaks over threshold: Coles, An
    Introduction to Statistical Modeling of Extreme Values, 2001, chapter 4; parameters by moments, Hosking and Wallis
    1987), so that scores beyond all of the past still differ.
surprise: how strange is this beside the usual? A Weibull tail through the median, the upper quartile and the
    upper decile: faults in the past, up to a tenth of it, do not make the next one expected.
"""

from collections.abc import Sequence
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from models.compiled import compiled
from models.detector import Floats, Slots, check_state
from models.slots import column, resized, slot_column

FIRST = 20
"""Scores whose mean becomes the unit of a sensor's histogram; they are not counted in it."""
WARM_UP = 40
"""Further scores before novelty is known."""
MAX_NOVELTY = 30.0

TAIL = 0.07
LEAST_IN_TAIL = 10.0
LEAST_EXCESS = 0.1
"""Scores in a tail lie at least so far beyond its start, in parts of it (sizes of normal residuals: 0.16): slow ones
crowd at their largest."""
PRIOR_SHAPE, PRIOR_WEIGHT = 0.0, 50.0
"""The tail's shape before anything is known, exponential, and how many scores that is worth."""

MAX_SURPRISE = 10.0
SHAPES = 0.7, 1.6
"""Bounds of the Weibull tail's shape."""
STEEPER = 2.5
"""A shape above 1 (exponential) is so much further from it in the tail: that of normal residuals is 1.2 from median to
decile, and 1.4 to 1.5 at 4 to 6 deviations. A shape below 1, of a heavy tail, is taken as it is."""
REFIT_EVERY = 16
"""Scores between two fits of the Weibull tail."""

QUARTERS = 4
"""Counts are kept in quarters, so that a single far score is still there after one and two halvings, then forgotten."""
HORIZON = 50_000
"""Scores after which all counts are halved: the past that novelty is about is that many scores, up to twice."""

VERSION = 2

Wanted = Literal["both", "surprise", "novelty", "none"]
"""What a column is calibrated for. none: its scores are -log10 of a chance already, and are both, up to MAX_NOVELTY."""

Counts = npt.NDArray[np.uint16]
Flags = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]


def _edges() -> Floats:
    """Lower edges of the bins, in units; the first bin is from 0."""
    parts = ((-6, -2, 2), (-2, 1, 8), (1, 4, 4), (4, 14, 2))  # from 2**a to 2**b in so many steps an octave
    steps = np.concatenate([np.arange(low, high, 1 / per_octave) for low, high, per_octave in parts])
    return np.concatenate([[0.0], np.exp2(steps)])


LN_2, LN_5, LN_10 = np.log(2.0), np.log(5.0), np.log(10.0)
HALF = 0.5 * QUARTERS

_EDGES = _edges()
BINS = len(_EDGES)


UNIT, SEEN, TOTAL, MEDIAN, SPREAD, SHAPE = range(6)
"""What is kept of a column beside its counts: the unit; how many scores were learnt; the sum of the counts; and of the
Weibull tail the median, the distance from it to the upper decile, both in units, and the shape."""


class Calibration:
    """Calibrates raw scores of each sensor; what it says of a row is about the rows learnt before.

    wanted: per column. What is not wanted costs no time; a column of which nothing is wanted takes no memory either.
    Memory: 2 * BINS + 48 bytes per sensor and column.
    """

    def __init__(self, wanted: Sequence[Wanted]) -> None:
        self._places = np.array([k for k, want in enumerate(wanted) if want != "none"], np.int64)
        self._as_they_are = [k for k, want in enumerate(wanted) if want == "none"]
        self._novel = np.array([want in ("both", "novelty") for want in wanted], np.bool_)
        self._usual = np.array([want in ("both", "surprise") for want in wanted], np.bool_)
        self._sensors = 0
        self._counts: Counts = np.zeros((0, len(self._places), BINS), np.uint16)  # in quarters
        self._numbers = np.zeros((0, len(self._places), SHAPE + 1))

    def grow(self, sensors: int) -> None:
        """There are now `sensors` slots; new ones start fresh."""
        self._counts = resized(self._counts, sensors, 0)
        self._numbers = resized(self._numbers, sensors, 0.0)
        self._sensors = max(self._sensors, sensors)

    def calibrate(self, slots: Slots, raw: Floats) -> tuple[Floats, Floats]:
        """(n, columns) raw scores -> (n, columns) novelty, 0 .. MAX_NOVELTY, and surprise, 0 .. MAX_SURPRISE.

        Scores below 0 count as 0. NaN for NaN, for what is not wanted, and until FIRST + WARM_UP scores of a column
        were learnt. Changes nothing.
        """
        novelty, surprise = np.empty(raw.shape), np.empty(raw.shape)
        checked, raw = slot_column(slots, self._sensors), column(raw, np.float64)
        _calibrate(self._counts, self._numbers, checked, raw, self._places, self._novel, self._usual, novelty, surprise)
        for place in self._as_they_are:
            novelty[:, place] = surprise[:, place] = np.minimum(raw[:, place], MAX_NOVELTY)
        return novelty, surprise

    def learn(self, slots: Slots, raw: Floats) -> None:
        """Take in (n, columns) raw scores; NaN are left out."""
        slots, raw = slot_column(slots, self._sensors), column(raw, np.float64)
        _learn(self._counts, self._numbers, slots, raw, self._places, self._usual)

    def reset(self, slots: Slots) -> None:
        """Forget these sensors."""
        self._counts[slot_column(slots, self._sensors)] = 0
        self._numbers[slots] = 0.0

    def reset_column(self, place: int) -> None:
        """Forget one detector's scores of all sensors: its model is another one now."""
        self._counts[:, self._places == place] = 0
        self._numbers[:, self._places == place] = 0.0

    @property
    def nbytes(self) -> int:
        """Memory of the state, bytes."""
        return self._counts.nbytes + self._numbers.nbytes

    def state(self) -> dict[str, object]:
        """A copy, plain."""
        n = self._sensors
        places: list[int] = self._places.tolist()
        return {
            "version": VERSION,
            "bins": BINS,
            "places": places,
            "counts": self._counts[:n].copy(),
            "numbers": self._numbers[:n].copy(),
        }

    def load(self, state: dict[str, object], was: Sequence[int | None] | None = None) -> None:
        """Go on from `state()`. Raises ValueError when it does not fit.

        was: where each column was then, None for one that is new; left out when all are where they were. A column that
        was not calibrated then starts fresh.
        """
        check_state(state, version=VERSION, bins=BINS)
        counts, numbers = np.array(state["counts"], np.uint16), np.array(state["numbers"], np.float64)
        then = cast(list[int], state["places"])
        self._sensors = len(counts)
        self._counts = np.zeros((self._sensors, len(self._places), BINS), np.uint16)
        self._numbers = np.zeros((self._sensors, len(self._places), SHAPE + 1))
        for mine, place in enumerate(self._places.tolist()):
            before = place if was is None else was[place]
            if before in then:
                self._counts[:, mine] = counts[:, then.index(before)]
                self._numbers[:, mine] = numbers[:, then.index(before)]


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
    mean = max(mean, LEAST_EXCESS * start)
    variance = max(square - mean * mean, 1e-3 * mean * mean)
    weight = inside / QUARTERS
    shape = min(max(0.5 * (1.0 - mean * mean / variance), -0.2), 0.6)
    shape = (weight * shape + PRIOR_WEIGHT * PRIOR_SHAPE) / (weight + PRIOR_WEIGHT)
    shape = shape if abs(shape) > 1e-6 else 1e-6
    within = 1.0 + shape * (score - start) / (mean * (1.0 - shape))
    return inside, np.log10(max(within, 1e-12)) / shape


@compiled
def _novelty(score: float, counts: Counts, total: float) -> float:
    """Of one score in units; infinity for one of a sensor without a unit: so strange as none was so far."""
    place = _bin(score)
    further = 0  # a sum of integers is several times as fast as one of floats
    for i in range(place + 1, BINS):
        further += counts[i]
    above = float(further)
    if place < BINS - 1:
        above += counts[place] * (_EDGES[place + 1] - score) / (_EDGES[place + 1] - _EDGES[place])
    elif np.isfinite(score):
        above += counts[place]
    counted = np.log10((total + QUARTERS) / (above + HALF))
    wanted = max(TAIL * total, LEAST_IN_TAIL * QUARTERS)
    if above >= wanted or np.isinf(score):
        return float(max(counted, 0.0))
    inside, beyond = _tail(score, counts, wanted)
    if inside == 0.0:
        return float(max(counted, 0.0))
    fitted = beyond + np.log10((total + QUARTERS) / (inside + HALF))
    # As often as such a score was really seen, it is to be expected, whatever the tail says.
    if above >= HALF:
        fitted = min(fitted, counted)
    return float(min(max(fitted, 0.0), MAX_NOVELTY))


@compiled
def _quantile(counts: Counts, wanted: float) -> float:
    """In units: the score with so many of the counts below it."""
    below = 0.0
    for i in range(BINS - 1):
        if below + counts[i] >= wanted:
            return float(_EDGES[i] + (_EDGES[i + 1] - _EDGES[i]) * (wanted - below) / max(counts[i], 1))
        below += counts[i]
    return float(_EDGES[BINS - 1])


@compiled
def _fit_bulk(counts: Counts, numbers: Floats) -> None:
    total = numbers[TOTAL]
    median, decile = _quantile(counts, 0.5 * total), _quantile(counts, 0.9 * total)
    spread = max(decile - median, LEAST_EXCESS * median)
    way = (_quantile(counts, 0.75 * total) - median) / spread if spread > 0.0 else 0.5
    shape = np.log(LN_2 / LN_5) / np.log(min(max(way, 0.1), 0.9))
    shape = 1.0 + STEEPER * (shape - 1.0) if shape > 1.0 else shape
    numbers[MEDIAN], numbers[SPREAD], numbers[SHAPE] = median, spread, min(max(shape, SHAPES[0]), SHAPES[1])


@compiled
def _surprise(score: float, numbers: Floats) -> float:
    """Of one score in units: chance 1/2 at the median, 1/10 at the upper decile."""
    if np.isinf(score):
        return MAX_SURPRISE
    median, spread = numbers[MEDIAN], numbers[SPREAD]
    if score <= median:
        return float(LN_2 * score / median / LN_10) if median > 0.0 else 0.0
    if spread == 0.0:
        return MAX_SURPRISE
    decades = (LN_2 + LN_5 * ((score - median) / spread) ** numbers[SHAPE]) / LN_10
    return float(min(decades, MAX_SURPRISE))


@compiled
def _calibrate(
    counts: Counts,
    numbers: Floats,
    slots: Slots,
    raw: Floats,
    places: Places,
    novel: Flags,
    usual: Flags,
    novelty: Floats,
    surprise: Floats,
) -> None:
    for row in range(len(slots)):
        slot = slots[row]
        for k in range(len(places)):
            place, mine = places[k], numbers[slot, k]
            score = max(raw[row, place], 0.0)
            novelty[row, place] = surprise[row, place] = np.nan
            if np.isnan(score) or mine[SEEN] < FIRST + WARM_UP:
                continue
            if mine[UNIT] > 0.0:
                score /= mine[UNIT]
            else:  # nothing but zeros so far
                score = np.inf if score > 0.0 else 0.0
            if usual[place]:
                surprise[row, place] = _surprise(score, mine)
            if novel[place]:
                novelty[row, place] = _novelty(score, counts[slot, k], mine[TOTAL])


@compiled
def _learn(counts: Counts, numbers: Floats, slots: Slots, raw: Floats, places: Places, usual: Flags) -> None:
    for row in range(len(slots)):
        slot = slots[row]
        for k in range(len(places)):
            score, mine, bins = max(raw[row, places[k]], 0.0), numbers[slot, k], counts[slot, k]
            if np.isnan(score):
                continue
            mine[SEEN] += 1.0
            if mine[SEEN] <= FIRST:
                mine[UNIT] += (score - mine[UNIT]) / mine[SEEN]
                continue
            if mine[UNIT] == 0.0:
                mine[UNIT] = score
            place = _bin(score / mine[UNIT]) if mine[UNIT] > 0.0 else 0
            if bins[place] > 65_535 - QUARTERS or mine[TOTAL] > 2 * HORIZON * QUARTERS:
                mine[TOTAL] = _halve(bins)
            bins[place] += QUARTERS
            mine[TOTAL] += QUARTERS
            if mine[SEEN] % REFIT_EVERY == 0 or mine[SEEN] == FIRST + WARM_UP:
                if 2 * bins[BINS - 1] >= mine[TOTAL]:  # a unit by far too small: anew
                    bins[:] = 0
                    mine[:] = 0.0
                elif usual[places[k]]:
                    _fit_bulk(bins, mine)


@compiled
def _halve(counts: Counts) -> float:
    """Returns their sum."""
    total = 0.0
    for i in range(BINS):
        counts[i] //= 2
        total += counts[i]
    return total
