"""Compiled twin of river.anomaly.HalfSpaceTrees: the same scores bit for bit, for many sensors a call.

Half-space trees (Tan, Ting, Liu: Fast Anomaly Detection for Streaming Data, IJCAI 2011) count how many rows of the last
full window fell into each half-space of some random trees; a row that falls where few did is strange.

What makes it fast: the trees depend on the seed, the limits and the names of the features alone, so all sensors share
them. A walk ends in a leaf, and what River adds up on the way there (its early stop included) depends on the leaf and
on the last full window only: it is worked out for every leaf when a window is full. A score is then one walk a tree.

Like RiverDetector around River's: x lacks the features that are NaN; no score before `warm_up` rows or for a row
without any feature; rows with missing features do not teach at first (at most MAX_INCOMPLETE_ROWS), because a sensor's
trees keep for good to the features that its first row had.
"""

import math
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

import numpy as np

from models import half_space_walks
from models.detector import Batch, Floats, Slots, check_state
from models.half_space_walks import Counts, Flags, Splits
from models.river_adapter import LIMIT, MAX_INCOMPLETE_ROWS
from models.slots import column, resized, slot_column

VERSION = 1
PADDING = 0.15
"""River splits no closer than this part of a side to its ends."""


class HalfSpaceTrees:
    """Score: 0 (where the last full window was dense) .. 1.

    n_trees, height: so many trees of 2 ** height leaves each; a leaf costs a sensor 3 to 6 bytes.
    window_size: rows in a window; scores come from the last full one.
    limits: least and greatest value of features, by name; 0 and 1 of those left out.
    seed: of the trees. River would draw one when it is left out; here it is 0, for two runs must agree.
    warm_up: rows to learn before scores are given; a window when left out. With fewer, scores are 0, as River's are,
        until the first window is full.
    """

    def __init__(
        self,
        feature_names: tuple[str, ...],
        *,
        n_trees: int = 10,
        height: int = 8,
        window_size: int = 250,
        limits: Mapping[str, tuple[float, float]] | None = None,
        seed: int = 0,
        warm_up: int | None = None,
    ) -> None:
        if not feature_names:
            raise ValueError("it judges features, and none are configured")
        for name, count in (("n_trees", n_trees), ("height", height), ("window_size", window_size)):
            _whole(name, count)
        if warm_up is not None:
            _whole("warm_up", warm_up)
        self._feature_names = feature_names
        self._limits = _checked_limits(limits or {}, feature_names)
        self._parameters = {
            "version": VERSION,
            "feature_names": feature_names,
            "n_trees": n_trees,
            "height": height,
            "window_size": window_size,
            "limits": self._limits,
            "seed": seed,
        }
        self._n_trees, self._height, self._window, self._seed = n_trees, height, window_size, seed
        self._warm_up = window_size if warm_up is None else warm_up
        deepest = _deepest(height, window_size)
        self._max_mass = float(n_trees * deepest)
        width = n_trees * 2**height
        self._sensors = 0
        # What is in these: see half_space_walks.py.
        self._current: Counts = np.zeros((0, width), np.uint8 if window_size < 2**8 else np.uint16)
        self._table: Counts = np.zeros((0, width), np.uint16 if deepest < 2**16 else np.uint32)
        self._counters: Slots = np.zeros((0, 3), np.int64)
        self._present: Flags = np.zeros((0, len(feature_names)), np.bool_)
        self._thresholds: Floats = np.zeros((0, n_trees, 2**height - 1))
        self._splits: Splits = np.zeros(self._thresholds.shape, np.uint16)
        self._plant(np.ones(len(feature_names), np.bool_))

    @staticmethod
    def covers(params: Mapping[str, Any]) -> bool:
        """Whether counts and sums fit the arrays; wrong types are left to the constructor."""
        height, window_size = params.get("height", 8), params.get("window_size", 250)
        if not (isinstance(height, int) and isinstance(window_size, int)):
            return True
        return height <= 24 and window_size < 2**16 and _deepest(height, window_size) < 2**32

    def grow(self, sensors: int) -> None:
        """See Detector."""
        self._current = resized(self._current, sensors, 0)
        self._table = resized(self._table, sensors, 0)
        self._counters = resized(self._counters, sensors, 0)
        self._sensors = max(self._sensors, sensors)

    def score(self, batch: Batch) -> Floats:
        """See Detector."""
        slots = slot_column(batch.slots, self._sensors)
        features = column(batch.features, np.float64)
        return half_space_walks.score(
            self._current,
            self._table,
            self._counters,
            self._thresholds,
            self._splits,
            slots,
            features,
            self._warm_up,
            self._window,
            self._max_mass,
        )

    def learn(self, batch: Batch) -> None:
        """See Detector."""
        slots = slot_column(batch.slots, self._sensors)
        features = column(batch.features, np.float64)
        row = 0
        while True:
            row = half_space_walks.learn(
                self._current,
                self._table,
                self._counters,
                self._thresholds,
                self._splits,
                self._present,
                slots,
                features,
                self._window,
                MAX_INCOMPLETE_ROWS,
                row,
            )
            if row == len(slots):
                return
            self._plant(~np.isnan(features[row]))

    def reset(self, slots: Slots) -> None:
        """See Detector."""
        forgotten = slot_column(slots, self._sensors)
        self._current[forgotten] = 0
        self._table[forgotten] = 0
        self._counters[forgotten] = 0

    @property
    def nbytes(self) -> int:
        """See Detector. The trees, which sensors share, are in it."""
        trees = self._thresholds.nbytes + self._splits.nbytes
        return self._current.nbytes + self._table.nbytes + self._counters.nbytes + trees

    def state(self) -> dict[str, object]:
        """See Detector."""
        n = self._sensors
        return {
            **self._parameters,
            "current": self._current[:n].copy(),
            "table": self._table[:n].copy(),
            "counters": self._counters[:n].copy(),
            "present": self._present.copy(),
        }

    def load(self, state: dict[str, object]) -> None:
        """See Detector."""
        check_state(state, **self._parameters)
        self._current = np.array(state["current"], self._current.dtype)
        self._table = np.array(state["table"], self._table.dtype)
        self._counters = np.array(state["counters"], np.int64)
        self._sensors = len(self._counters)
        self._present, self._thresholds, self._splits = self._present[:0], self._thresholds[:0], self._splits[:0]
        for present in np.array(state["present"], np.bool_):
            self._plant(present)

    def _plant(self, present: Flags) -> None:
        """Make the trees of sensors whose first row had these features."""
        random = Random(self._seed)
        limits = {
            name: self._limits.get(name, (0.0, 1.0))
            for name, there in sorted(zip(self._feature_names, present, strict=True))
            if there
        }
        thresholds = np.empty((1, *self._thresholds.shape[1:]))
        splits = np.empty(thresholds.shape, np.uint16)
        for tree in range(self._n_trees):
            for place, name, threshold in _nodes(limits, self._height, random):
                thresholds[0, tree, place] = threshold
                splits[0, tree, place] = self._feature_names.index(name)
        self._thresholds = np.concatenate([self._thresholds, thresholds])
        self._splits = np.concatenate([self._splits, splits])
        self._present = np.concatenate([self._present, present[np.newaxis]])


def _whole(name: str, count: object) -> None:
    if not (isinstance(count, int) and count >= 1):
        raise ValueError(f"{name} = {count!r}: must be a whole number, at least 1")


def _checked_limits(limits: Mapping[str, Any], feature_names: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    checked = {}
    for name, pair in limits.items():
        if name not in feature_names:
            raise ValueError(f"limits of {name!r}: the features are {', '.join(feature_names)}")
        try:
            low, high = (float(end) for end in pair)
        except (TypeError, ValueError):
            low = high = math.nan
        if not -LIMIT <= low < high <= LIMIT:
            raise ValueError(f"limits of {name!r} = {pair!r}: must be two numbers, the lower one first")
        checked[name] = low, high
    return checked


def _deepest(height: int, window_size: int) -> int:
    """The most a walk down one tree can add up: the whole window in each node, doubled with each level."""
    return int(window_size * (2 ** (height + 1) - 1))


def _nodes(
    limits: dict[str, tuple[float, float]], height: int, random: Random, place: int = 0
) -> Iterator[tuple[int, str, float]]:
    """(place, feature, threshold) of a tree's inner nodes, drawn as River draws them.

    The children of a node at `place` are at 2 * place + 1 (less than the threshold) and 2 * place + 2.
    """
    if height == 0:
        return
    name = random.choices(list(limits), [high - low for low, high in limits.values()])[0]
    low, high = limits[name]
    threshold = random.uniform(low + PADDING * (high - low), high - PADDING * (high - low))
    yield place, name, threshold
    yield from _nodes({**limits, name: (low, threshold)}, height - 1, random, 2 * place + 1)
    yield from _nodes({**limits, name: (threshold, high)}, height - 1, random, 2 * place + 2)
