"""Fitting an isolation forest with scikit-learn. Imported only in the helper process: scikit-learn takes 190 MB."""

import numpy as np
import numpy.typing as npt
from sklearn import config_context
from sklearn.ensemble import IsolationForest
from sklearn.tree._tree import Tree

LEAF = 255
Flat = tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.uint16]]


def fit(rows: npt.NDArray[np.float32], n_estimators: int, max_samples: int, random_state: int) -> Flat:
    """(n, k) finite rows -> features, thresholds and counts of a models.flat_forest.Forest."""
    with config_context(assume_finite=True):
        forest = IsolationForest(
            n_estimators=n_estimators, max_samples=max_samples, random_state=random_state, n_jobs=1
        ).fit(rows)
    return flattened([tree.tree_ for tree in forest.estimators_])


def flattened(trees: list[Tree]) -> Flat:
    """The arrays of these trees, whose nodes scikit-learn numbers in preorder."""
    features, thresholds, counts = [], [], []
    for tree in trees:
        splits = tree.children_left >= 0
        if not np.array_equal(tree.children_left[splits], np.flatnonzero(splits) + 1):
            raise RuntimeError("scikit-learn no longer numbers the nodes of a tree in preorder: use another release")
        features.append(np.where(splits, tree.feature, LEAF).astype(np.uint8))
        thresholds.append(_rounded_down(tree.threshold[splits]))
        counts.append(tree.n_node_samples[~splits].astype(np.uint16))
    return np.concatenate(features), np.concatenate(thresholds), np.concatenate(counts)


def _rounded_down(thresholds: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The largest float32 not above each: x <= threshold is then the same for every float32 x."""
    rounded = thresholds.astype(np.float32)
    return np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded)
