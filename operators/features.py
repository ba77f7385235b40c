"""The feature vector of a reading, from its own sensor's past, in a fixed order: as measured, and scaled."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, sin
from typing import Any, NamedTuple

import numpy as np

from models.compiled import compiled
from models.detector import Batch
from models.feature import Feature
from models.importing import KindError, construct, load_class, told
from models.scaling import Scaling
from models.slots import column, resized
from operators.batches import Flags, Floats, Ints
from operators.local_time import LocalTime
from operators.rounds import Rounds

FEATURES: dict[str, tuple[str, str]] = {
    "value": ("of the value", "as measured"),
    "delta": ("of the value", "minus the reading before"),
    "rate_per_s": ("of the value per second", "delta by time passed since the reading before"),
    "mean": ("of the value", "mean of the last 32 readings before this one"),
    "std": ("of the value", "their standard deviation (population)"),
    "range": ("of the value", "their largest minus their smallest"),
    "mean_shift": ("of the value", "mean of the last 8 readings, this one included, minus `mean`"),
    "flatness": ("readings", "how many readings in a row had this value, this one included, at most 1000"),
    "hour_sin": ("1", "hour of the local day on a circle, with hour_cos"),
    "hour_cos": ("1", "hour of the local day on a circle, with hour_sin"),
    "day_sin": ("1", "day of the local week on a circle, Monday 00:00 first, with day_cos"),
    "day_cos": ("1", "day of the local week on a circle, with day_sin"),
}
"""Name -> unit and meaning. NaN where not known: without the readings it takes (8 for mean, std, range, mean_shift),
and, but for the value and the time of day and week, for a reading that is out of order or late."""

FEATURE_NAMES = tuple(FEATURES)
WINDOW, SHORT = 32, 8
MOST_FLAT = 1000

_CIRCLES = slice(8, 12)
"""Columns that need no sensor's past to be scaled."""
_MINUTE_MS = 60_000
_LARGEST = 1e150
"""Squares of what is larger could overflow; such features are cut to this."""

STATE_VERSION = 2


def _circle(steps: int) -> Floats:
    """Sine and cosine of each step of a turn; a table has the same bits on every processor."""
    return np.array([(sin(2 * pi * step / steps), cos(2 * pi * step / steps)) for step in range(steps)])


_DAY, _WEEK = _circle(1440), _circle(7 * 1440)
_THURSDAY = 3 * 1440
"""1970-01-01 was a Thursday: minutes since the Monday before."""


class _Past(NamedTuple):
    """What is known of each sensor: a ring of its last readings, their number, how often the last one was the same."""

    ring: Floats
    time_ms: Ints
    seen: Ints
    same: Ints


@compiled
def _vectors(
    slot: Ints,
    time_ms: Ints,
    value: Floats,
    in_order: Flags,
    ring: Floats,
    last_ms: Ints,
    seen: Ints,
    same: Ints,
    vectors: Floats,
) -> None:
    for i in range(len(slot)):
        s, v = slot[i], value[i]
        vectors[i, 0] = v
        vectors[i, 1:8] = np.nan
        if not in_order[i]:
            continue
        n = seen[s]
        if n > 0:
            before = ring[s, (n - 1) % WINDOW]
            delta = min(max(v - before, -_LARGEST), _LARGEST)
            vectors[i, 1] = delta
            elapsed_ms = time_ms[i] - last_ms[s]
            if elapsed_ms > 0:
                vectors[i, 2] = min(max(delta * 1000.0 / elapsed_ms, -_LARGEST), _LARGEST)
            same[s] = min(same[s] + 1, MOST_FLAT) if v == before else 1
        else:
            same[s] = 1
        vectors[i, 7] = same[s]
        known = min(n, WINDOW)
        if known >= SHORT:
            origin = ring[s, 0]
            low, high, total, recent = origin, origin, 0.0, v - origin
            for k in range(known):
                one = ring[s, k]
                low, high = min(low, one), max(high, one)
                total += one - origin
            for k in range(1, SHORT):
                recent += ring[s, (n - k) % WINDOW] - origin
            mean = total / known
            squares = 0.0
            for k in range(known):
                squares += (ring[s, k] - origin - mean) ** 2
            vectors[i, 3] = origin + mean
            vectors[i, 4] = np.sqrt(squares / known)
            vectors[i, 5] = high - low
            vectors[i, 6] = recent / SHORT - mean
            for k in range(3, 7):
                vectors[i, k] = min(max(vectors[i, k], -_LARGEST), _LARGEST)
        ring[s, n % WINDOW] = v
        last_ms[s], seen[s] = time_ms[i], n + 1


@compiled
def _circles(local_ms: Ints, vectors: Floats, scaled: Floats) -> None:
    for i in range(len(local_ms)):
        minute = local_ms[i] // _MINUTE_MS
        vectors[i, 8], vectors[i, 9] = _DAY[minute % 1440]
        vectors[i, 10], vectors[i, 11] = _WEEK[(minute + _THURSDAY) % 10_080]
        for k in range(8, 12):
            scaled[i, k] = 0.5 + 0.5 * vectors[i, k]


@dataclass(frozen=True, slots=True)
class Vectors:
    """(n, features) each, columns in the order of `Features.names`.

    raw: in the features' own units. scaled: within 0 .. 1, see models.scaling; circles from -1 .. 1 to 0 .. 1.
    """

    raw: Floats
    scaled: Floats


class Features:
    """Feature state of one shard's sensors. own: features beyond FEATURES, which follow those."""

    def __init__(self, own: Sequence[Feature] = ()) -> None:
        self._own = tuple(own)
        self.names = FEATURE_NAMES + tuple(name for feature in own for name in feature.names)
        self._sensors = 0
        empty = np.empty(0, np.int64)
        self._past = _Past(np.empty((0, WINDOW)), empty, empty, empty)
        self._local = LocalTime()
        self._rounds = Rounds()
        self._scaling = Scaling(len(self.names), besides=_CIRCLES)

    def enrol(self, slots: Ints, zones: Sequence[str]) -> None:
        """New sensors at these slots, which are fresh; their time zones, IANA names, "" for UTC."""
        self._local.enrol(slots, zones)
        self._resize(max(self._sensors, int(slots.max(initial=-1)) + 1))

    def _resize(self, sensors: int) -> None:
        self._sensors = sensors
        self._past = _Past._make(resized(one, sensors, 0) for one in self._past)
        self._rounds.grow(sensors)
        self._scaling.grow(sensors)
        for feature in self._own:
            feature.grow(sensors)

    def forget(self, slots: Ints) -> None:
        """These sensors are gone; their slots are fresh."""
        for one in self._past:
            one[slots] = 0
        self._scaling.reset(slots)
        for feature in self._own:
            feature.reset(slots)

    def take_in(self, slot: Ints, time_ms: Ints, value: Floats, in_order: Flags) -> Vectors:
        """Features of readings in offset order, each made before its reading is remembered.

        in_order: readings that are their sensor's newest; others have no differences and are not remembered.
        """
        slot, time_ms, value = column(slot, np.int64), column(time_ms, np.int64), column(value, np.float64)
        in_order = column(in_order, np.bool_)
        raw = np.empty((len(slot), len(self.names)))
        _vectors(slot, time_ms, value, in_order, *self._past, raw)
        if self._own:
            own = self._own_columns(slot, time_ms, value, in_order)
            raw[:, len(FEATURE_NAMES) :] = np.clip(own, -_LARGEST, _LARGEST)
        scaled = self._scaling.take_in(slot, raw, in_order)
        _circles(self._local.of(slot, time_ms), raw, scaled)
        return Vectors(raw, scaled)

    def _own_columns(self, slot: Ints, time_ms: Ints, value: Floats, in_order: Flags) -> Floats:
        order, rounds = self._rounds.of(slot)
        found = np.full((len(slot), len(self.names) - len(FEATURE_NAMES)), np.nan)
        nothing, zeros = np.empty((len(slot), 0)), np.zeros(len(slot), np.int64)
        batch = Batch(slot, time_ms, value, nothing, zeros, zeros).take(order)
        for rows in rounds:
            one, newest = batch.take(rows), np.flatnonzero(in_order[order[rows]])
            found[order[rows]] = np.concatenate([feature.extract(one) for feature in self._own], axis=1)
            for feature in self._own:
                feature.remember(one.take(newest))
        found[~in_order] = np.nan
        return found

    @property
    def nbytes(self) -> int:
        """Memory of the state, bytes."""
        arrays = sum(one.nbytes for one in self._past)
        return arrays + self._scaling.nbytes + sum(feature.nbytes for feature in self._own)

    def snapshot(self) -> tuple[Any, ...]:
        """Plain arrays."""
        past = tuple(one[: self._sensors].copy() for one in self._past)
        own = tuple((feature.names, feature.state()) for feature in self._own)
        return (STATE_VERSION, past, self._scaling.state(), own)

    def load(self, state: tuple[Any, ...]) -> None:
        """Go on from `snapshot()`. Raises ValueError when other features of one's own were configured then."""
        _, past, scaling, own = state
        self._scaling.load(scaling)
        self._past = _Past(*past)
        self._resize(len(self._past.seen))
        for feature, (_, stored) in zip(self._own, own, strict=True):
            feature.load(stored)


def load_feature(path: str) -> Feature:
    """The feature of one's own at an import path, tried on a reading. Raises KindError with one line for people."""
    feature = construct(load_class(path, what="a feature class"), {}, path=path)
    if not isinstance(feature, Feature):
        raise KindError(f"{path} is not a feature: see models.feature.Feature for what one has")
    zero = np.zeros(1, np.int64)
    batch = Batch(zero, zero, np.array([0.5]), np.empty((1, 0)), zero, zero)
    try:
        feature.grow(1)
        found = feature.extract(batch)
        feature.remember(batch)
        feature.load(feature.state())
        feature.reset(zero)
    except Exception as error:
        raise KindError(f"{path}: a trial with one reading failed: {told(error)}") from error
    if not isinstance(found, np.ndarray) or found.shape != (1, len(feature.names)) or found.dtype != np.float64:
        raise KindError(f"{path}: extract() must give a float64 array of shape (n, {len(feature.names)})")
    if len(feature.units) != len(feature.names) or set(feature.names) & set(FEATURE_NAMES):
        raise KindError(f"{path}: needs a unit for each name, and names other than {', '.join(FEATURE_NAMES)}")
    fresh: Feature = construct(type(feature), {}, path=path)
    return fresh
