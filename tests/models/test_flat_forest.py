"""Flattened forests against scikit-learn's own scores."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import IsolationForest

from models.flat_forest import LARGEST, LEAF, Forest, Woods
from models.forest_fit import fit, flattened

Matrix = npt.NDArray[np.float64]


def grown(rows: Matrix, *, trees: int, samples: int, seed: int = 0) -> tuple[IsolationForest, Forest]:
    """scikit-learn's forest and the flat one of the same fit."""
    narrow = rows.astype(np.float32)
    flat = Forest(*fit(narrow, trees, samples, seed), samples=samples)
    return IsolationForest(n_estimators=trees, max_samples=samples, random_state=seed).fit(narrow), flat


def scored(forest: Forest, features: Matrix, *, trees: int) -> Matrix:
    woods = Woods([forest], trees=trees, max_samples=forest.samples)
    return woods.score(np.zeros(len(features), np.int64), features)


@st.composite
def fits(draw: st.DrawFn) -> tuple[Matrix, int, int, int]:
    """Rows of a width and kind, trees, rows per tree, seed."""
    rows, width, seed = draw(st.integers(2, 200)), draw(st.integers(1, 12)), draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    data = {
        "smooth": rng.normal(0.5, 0.125, (rows, width)),
        "ties": rng.integers(0, 3, (rows, width)) / 2,
        "constant": np.full((rows, width), 0.7),
        "one constant": np.where(np.arange(width) == 0, 0.1, rng.uniform(-1e3, 1e3, (rows, width))),
        "vast": rng.normal(0, 1e37, (rows, width)),
    }[draw(st.sampled_from(["smooth", "ties", "constant", "one constant", "vast"]))]
    return data, draw(st.integers(1, 9)), draw(st.integers(2, rows)), seed


@settings(deadline=None, derandomize=True, max_examples=150)
@given(fits())
def test_scores_are_those_of_scikit_learn(case: tuple[Matrix, int, int, int]) -> None:
    data, trees, samples, seed = case
    reference, flat = grown(data, trees=trees, samples=samples, seed=seed)
    thresholds = np.resize(flat.thresholds, data.shape) if len(flat.thresholds) else data
    asked = np.concatenate([data, data * 1.01 + 1e-3, thresholds, np.full((1, data.shape[1]), 3e38)])
    expected = -reference.score_samples(asked.astype(np.float32))
    np.testing.assert_allclose(scored(flat, asked, trees=trees), expected, rtol=0, atol=1e-15)


def test_a_threshold_between_two_floats_sends_the_same_rows_left() -> None:
    """scikit-learn compares a float32 feature with a float64 threshold."""
    ends = np.array([[0.1], [np.nextafter(np.float32(0.1), np.float32(1))]], np.float32).astype(np.float64)
    for seed in range(20):
        reference, flat = grown(ends, trees=3, samples=2, seed=seed)
        expected = -reference.score_samples(ends.astype(np.float32))
        np.testing.assert_allclose(scored(flat, ends, trees=3), expected, rtol=0, atol=1e-15)


def test_values_beyond_float32_count_as_its_largest() -> None:
    _, flat = grown(np.random.default_rng(1).normal(size=(50, 2)), trees=5, samples=32)
    beyond, largest = np.array([[1e300, -1e300]]), np.array([[LARGEST, -LARGEST]])
    assert scored(flat, beyond, trees=5) == scored(flat, largest, trees=5)


def test_each_row_is_scored_by_the_forest_of_its_group() -> None:
    rng = np.random.default_rng(2)
    data = [rng.normal(size=(60, 3)), rng.uniform(size=(20, 3))]
    (one, flat_one), (two, flat_two) = grown(data[0], trees=6, samples=40), grown(data[1], trees=6, samples=20)
    woods = Woods([flat_one, None, flat_two], trees=6, max_samples=40)
    asked = rng.normal(size=(5, 3))
    scores = woods.score(np.array([2, 0, 1, 3, -1], np.int64), asked)
    narrow = asked.astype(np.float32)
    assert scores[0] == pytest.approx(-two.score_samples(narrow[:1])[0], abs=1e-15)
    assert scores[1] == pytest.approx(-one.score_samples(narrow[1:2])[0], abs=1e-15)
    assert np.isnan(scores[2:]).all(), "no forest, not a group"


def test_a_row_that_lacks_a_feature_has_no_score() -> None:
    _, flat = grown(np.random.default_rng(3).normal(size=(50, 2)), trees=5, samples=32)
    scores = scored(flat, np.array([[np.nan, 0.0], [0.0, np.nan], [0.0, 0.0]]), trees=5)
    assert np.isnan(scores).tolist() == [True, True, False]


def test_a_forest_is_small() -> None:
    _, flat = grown(np.random.default_rng(4).normal(size=(1000, 12)), trees=50, samples=256)
    splits, leaves = len(flat.thresholds), len(flat.counts)
    assert splits + leaves == len(flat.features)
    assert (flat.features == LEAF).sum() == leaves == splits + 50
    assert flat.nbytes == 5 * splits + 3 * leaves < 30_000


def test_nodes_in_another_order_are_refused() -> None:
    tree = IsolationForest(n_estimators=1, random_state=0).fit(np.random.default_rng(5).normal(size=(9, 2)))
    inner = tree.estimators_[0].tree_

    class Reordered:
        children_left = inner.children_left[::-1]

    with pytest.raises(RuntimeError, match="no longer numbers the nodes of a tree in preorder"):
        flattened([Reordered()])
