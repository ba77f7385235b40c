"""Walks of half-space trees, compiled; see half_space_trees.py.

current: (sensors, trees * leaves) rows of the window that is filling, per leaf.
table: (sensors, trees * leaves) what a walk that ends in the leaf adds up in the last full window.
counters: (sensors, 3) rows learnt; rows that did not teach before the first that did; which set of trees.
thresholds, splits: (sets, trees, leaves - 1) where an inner node splits, and the feature it looks at; the children of
    place i are 2 i + 1 (less than the threshold) and 2 i + 2.
present: (sets, features) the features of a set of trees.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from models.compiled import compiled
from models.detector import Floats, Slots

Counts = npt.NDArray[np.unsignedinteger[Any]]
Flags = npt.NDArray[np.bool_]
Splits = npt.NDArray[np.uint16]
Leaves = npt.NDArray[np.uint32]  # unsigned, for kernels look whether a signed index counts from the end

EARLY_STOP = 0.1
"""A walk goes no deeper once less than this part of the window fell where it is (the paper's SizeLimit)."""


@compiled
def score(
    current: Counts,
    table: Counts,
    counters: Slots,
    thresholds: Floats,
    splits: Splits,
    slots: Slots,
    features: Floats,
    warm_up: int,
    window: int,
    max_mass: float,
) -> Floats:
    scores = np.full(len(slots), np.nan)
    leaf_of: Leaves = np.empty(thresholds.shape[1], np.uint32)
    for row in range(len(slots)):
        slot = slots[row]
        missing = _missing(features, row)
        if counters[slot, 0] < warm_up or missing == features.shape[1]:
            continue
        if counters[slot, 0] < window:
            scores[row] = 0.0
            continue
        _walk(current, thresholds, splits, counters[slot, 2], slot, features, row, missing > 0, leaf_of)
        mass = 0
        for leaf in leaf_of:
            mass += table[slot, leaf]
        scores[row] = 1.0 - mass / max_mass
    return scores


@compiled
def learn(
    current: Counts,
    table: Counts,
    counters: Slots,
    thresholds: Floats,
    splits: Splits,
    present: Flags,
    slots: Slots,
    features: Floats,
    window: int,
    max_incomplete_rows: int,
    begin: int,
) -> int:
    """Learn rows `begin` and on. Returns the row that first needs trees which do not exist yet, or the end."""
    leaf_of: Leaves = np.empty(thresholds.shape[1], np.uint32)
    for row in range(begin, len(slots)):
        slot = slots[row]
        missing = _missing(features, row)
        if counters[slot, 0] == 0:
            if missing > 0 and counters[slot, 1] < max_incomplete_rows:
                counters[slot, 1] += 1
                continue
            if missing < features.shape[1]:
                trees = _trees_of(present, features, row)
                if trees == len(present):
                    return row
                counters[slot, 2] = trees
        if missing == features.shape[1]:
            continue
        _walk(current, thresholds, splits, counters[slot, 2], slot, features, row, missing > 0, leaf_of)
        for leaf in leaf_of:
            current[slot, leaf] += 1
        counters[slot, 0] += 1
        if counters[slot, 0] % window == 0:
            _turn(current, table, slot, thresholds.shape[1], EARLY_STOP * window)
    return len(slots)


@compiled
def _missing(features: Floats, row: int) -> int:
    missing = 0
    for k in range(features.shape[1]):
        missing += np.isnan(features[row, k])
    return missing


@compiled
def _trees_of(present: Flags, features: Floats, row: int) -> int:
    """The number of the trees for the features this row has; len(present) when there are none."""
    for trees in range(len(present)):
        same = True
        for k in range(features.shape[1]):
            same = same and present[trees, k] != np.isnan(features[row, k])
        if same:
            return trees
    return len(present)


@compiled
def _walk(
    current: Counts,
    thresholds: Floats,
    splits: Splits,
    trees: int,
    slot: int,
    features: Floats,
    row: int,
    gaps: bool,
    leaf_of: Leaves,
) -> None:
    """Set the leaf in which each tree's walk ends, numbered through all trees."""
    n_trees, inner = thresholds.shape[1], thresholds.shape[2]
    if gaps:
        for tree in range(n_trees):
            leaf_of[tree] = _leaf_by_mass(current, thresholds, splits, trees, tree, slot, features, row)
        return
    leaf_of[:] = 0
    level = inner
    while level > 0:  # all trees a level at a time: their loads do not wait for each other
        for tree in range(n_trees):
            place = leaf_of[tree]
            value = features[row, splits[trees, tree, place]]
            leaf_of[tree] = 2 * place + 1 + (value >= thresholds[trees, tree, place])
        level >>= 1
    for tree in range(n_trees):
        leaf_of[tree] += tree * (inner + 1) - inner


@compiled
def _leaf_by_mass(
    current: Counts, thresholds: Floats, splits: Splits, trees: int, tree: int, slot: int, features: Floats, row: int
) -> int:
    """Where a feature is missing River goes where more rows of the filling window went, left if as many did."""
    half: int = (thresholds.shape[2] + 1) // 2
    leaf: int = tree * (thresholds.shape[2] + 1)  # the leftmost one below the place
    place = 0
    while half > 0:
        value = features[row, splits[trees, tree, place]]
        right = value >= thresholds[trees, tree, place]
        if np.isnan(value):
            more = 0
            for i in range(leaf, leaf + half):
                more += int(current[slot, i + half]) - int(current[slot, i])
            right = more > 0
        place = 2 * place + 1 + right
        leaf += half * right
        half >>= 1
    return leaf


@compiled
def _turn(current: Counts, table: Counts, slot: int, n_trees: int, size_limit: float) -> None:
    """A window is full: work out what a walk to each leaf adds up in it, and begin the next."""
    leaves = current.shape[1] // n_trees
    # The root is 1, the children of i are 2 i and 2 i + 1; the leaves come last.
    mass = np.empty(2 * leaves, np.int64)
    total = np.empty(2 * leaves, np.int64)
    for tree in range(n_trees):
        for leaf in range(leaves):
            mass[leaves + leaf] = current[slot, tree * leaves + leaf]
        for node in range(leaves - 1, 0, -1):
            mass[node] = mass[2 * node] + mass[2 * node + 1]
        total[1] = mass[1]
        weight = 1
        for node in range(2, 2 * leaves):
            if node & (node - 1) == 0:
                weight *= 2  # a level further down
            parent = node // 2
            # Below a node that stops the walk all do, since they hold no more than it.
            total[node] = total[parent] + (mass[node] * weight if mass[parent] >= size_limit else 0)
        for leaf in range(leaves):
            table[slot, tree * leaves + leaf] = total[leaves + leaf]
    current[slot, :] = 0
