"""Isolation forests as flat arrays: small to keep, and scored in one compiled walk over many sensors.

Scores are scikit-learn's own (`-IsolationForest.score_samples`, within 1e-15) for features cast to float32: Liu, Ting
and Zhou, "Isolation Forest", ICDM 2008. Nothing here imports scikit-learn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2
from typing import Any

import numpy as np
import numpy.typing as npt

from models.compiled import compiled
from models.detector import Floats, Slots
from models.slots import column

LEAF = 255
"""Stands for the feature of a leaf, so a forest has at most 255 features, 0 .. 254."""
LARGEST = float(np.finfo(np.float32).max)
"""Features beyond it are taken for it: scikit-learn refuses infinities."""

_ABREAST = 4
"""Trees walked at once, so that the processor need not wait for one node's memory before it looks at another."""


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees one after the other, each in preorder: a left child follows its parent. 5 B per split, 2 B more per leaf.

    features: (nodes,) uint8, the feature a node splits by; LEAF for a leaf.
    thresholds: (splits,) float32; a row goes left when its feature is at most this.
    counts: (leaves,) uint16, training rows in the leaf.
    samples: rows each tree was grown from.
    """

    features: npt.NDArray[np.uint8]
    thresholds: npt.NDArray[np.float32]
    counts: npt.NDArray[np.uint16]
    samples: int

    @property
    def nbytes(self) -> int:
        """Memory, bytes."""
        return self.features.nbytes + self.thresholds.nbytes + self.counts.nbytes


class Woods:
    """Forests of equally many trees, one per group of sensors, laid out for scoring: 11 B per node.

    trees: per forest; max_samples: the largest number of rows a tree is grown from, which bounds its height.
    """

    def __init__(self, forests: Sequence[Forest | None], *, trees: int, max_samples: int) -> None:
        self._steps = ceil(log2(max(max_samples, 2)))
        # Missing trees, which complete the last _ABREAST, and forests are node 0: a leaf with a path of length 0.
        self._roots = np.zeros((len(forests), -(-trees // _ABREAST) * _ABREAST), np.uint32)
        self._longest = np.zeros(len(forests))
        features, thresholds, ways, lengths = [_ZERO_U8], [_ZERO_F32], [_STAY], [_ZERO_F64]
        first = 1
        for group, forest in enumerate(forests):
            if forest is None:
                continue
            roots, threshold, way, length = _laid_out(forest.features, forest.thresholds, forest.counts)
            self._roots[group, :trees] = first + roots
            self._longest[group] = trees * _mean_path(forest.samples)
            features.append(np.where(forest.features == LEAF, 0, forest.features).astype(np.uint8))
            thresholds.append(threshold)
            ways.append(way)
            lengths.append(length)
            first += len(forest.features)
        self._features, self._thresholds = np.concatenate(features), np.concatenate(thresholds)
        self._ways = _small(np.concatenate(ways))
        # There are few: a length is made of a depth and of how many rows are in the leaf, most often one.
        self._lengths, places = np.unique(np.concatenate(lengths), return_inverse=True)
        self._length_of = _small(places)

    def score(self, groups: Slots, features: Floats) -> Floats:
        """(n,) scores, 0 .. 1, larger is stranger; NaN for a group without a forest and for a row with a NaN.

        groups: (n,); features: (n, k), any finite values.
        """
        return _score(
            column(groups, np.int64),
            column(features, np.float64),
            self._roots,
            self._features,
            self._thresholds,
            self._ways,
            self._length_of,
            self._lengths,
            self._longest,
            self._steps,
        )

    @property
    def nbytes(self) -> int:
        """Memory, bytes."""
        nodes = (self._features, self._thresholds, self._ways, self._length_of)
        return sum(array.nbytes for array in (*nodes, self._roots, self._longest, self._lengths))


_ZERO_U8, _ZERO_F32, _ZERO_F64 = np.zeros(1, np.uint8), np.zeros(1, np.float32), np.zeros(1)
_STAY = np.zeros(2, np.int64)


def _small(numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """In 16 bits where they fit, which they do but for trees of more than 32,768 rows."""
    return numbers.astype(np.uint16 if numbers.max() < 2**16 else np.uint32)


@compiled
def _mean_path(rows: int) -> float:
    """Mean length of an unsuccessful search in a binary tree of so many rows, c(n) of the paper."""
    if rows <= 1:
        return 0.0
    if rows == 2:
        return 1.0
    return float(2.0 * (np.log(rows - 1.0) + np.euler_gamma) - 2.0 * (rows - 1.0) / rows)


@compiled
def _laid_out(features: Any, thresholds: Any, counts: Any) -> tuple[Any, Any, Any, Any]:
    """Roots, and per node: threshold, ways to the children, and the path length that a leaf stands for.

    `node + ways[2 * node + went_right]` is a child. A leaf's children are itself: every walk may take as many steps as
    the highest tree is high.
    """
    n = len(features)
    threshold = np.zeros(n, np.float32)
    ways = np.zeros(2 * n, np.int64)
    length = np.zeros(n)
    sizes = np.ones(n, np.int64)
    for node in range(n - 1, -1, -1):
        if features[node] != LEAF:
            left = node + 1
            sizes[node] = 1 + sizes[left] + sizes[left + sizes[left]]
    depths = np.ones(n, np.int64)  # nodes on the way, both ends counted
    roots = np.empty(n, np.int64)
    trees = splits = leaves = end = 0
    for node in range(n):
        if node == end:  # the tree before ends here
            roots[trees] = node
            trees += 1
            end = node + sizes[node]
        if features[node] == LEAF:
            length[node] = depths[node] + _mean_path(counts[leaves]) - 1.0
            leaves += 1
        else:
            ways[2 * node], ways[2 * node + 1] = 1, 1 + sizes[node + 1]
            depths[node + 1] = depths[node + ways[2 * node + 1]] = depths[node] + 1
            threshold[node] = thresholds[splits]
            splits += 1
    return roots[:trees], threshold, ways, length


@compiled
def _score(
    groups: Slots,
    features: Floats,
    roots: Any,
    feature: Any,
    threshold: Any,
    ways: Any,
    length_of: Any,
    lengths: Floats,
    longest: Floats,
    steps: int,
) -> Floats:
    scores = np.full(len(groups), np.nan)
    width = features.shape[1]
    x = np.empty(width, np.float32)
    for row in range(len(groups)):
        group = groups[row]
        known = 0 <= group < len(longest) and longest[group] > 0.0
        for k in range(width):
            known = known and not np.isnan(features[row, k])
            x[k] = min(max(features[row, k], -LARGEST), LARGEST)
        if not known:
            continue
        total = 0.0
        for tree in range(0, roots.shape[1], 4):
            a, b, c, d = roots[group, tree], roots[group, tree + 1], roots[group, tree + 2], roots[group, tree + 3]
            for _ in range(steps):
                a += ways[2 * a + (x[feature[a]] > threshold[a])]
                b += ways[2 * b + (x[feature[b]] > threshold[b])]
                c += ways[2 * c + (x[feature[c]] > threshold[c])]
                d += ways[2 * d + (x[feature[d]] > threshold[d])]
            total += lengths[length_of[a]]  # in the order of the trees, as scikit-learn adds them
            total += lengths[length_of[b]]
            total += lengths[length_of[c]]
            total += lengths[length_of[d]]
        scores[row] = 2.0 ** (-total / longest[group])
    return scores
