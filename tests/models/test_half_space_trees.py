"""The twin of HalfSpaceTrees against River itself by the adapter: equal to the bit."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from river import anomaly

from models.detector import Batch
from models.half_space_trees import HalfSpaceTrees
from models.importing import KindError
from models.river_adapter import RiverDetector
from tests.models.twins import assert_same_scores, batch_of

FEATURES = ("value", "delta", "hour", "a")
"""Not in the order of the alphabet, by which River sorts them."""

Params = dict[str, Any]


def both(params: Params, *, warm_up: int | None = None) -> tuple[HalfSpaceTrees, RiverDetector]:
    twin = HalfSpaceTrees(FEATURES, **params, warm_up=warm_up)
    return twin, RiverDetector(FEATURES, kind="river.anomaly.HalfSpaceTrees", params=params, warm_up=warm_up)


def rows(seed: int, count: int, *, grid: int | None = None, missing: float = 0.0, sensors: int = 2) -> list[Batch]:
    """Rows in and around 0 .. 1. grid: so many different values (ties). missing: the share of features that are."""
    random = np.random.default_rng(seed)
    features = random.normal(0.5, 0.3, (count, sensors, len(FEATURES)))
    if grid is not None:
        features = np.round(features * grid) / grid
    features[random.random(features.shape) < missing] = np.nan
    return [batch_of(one[:, 0], one) for one in features]


PARAMS = st.fixed_dictionaries(
    {
        "n_trees": st.integers(1, 5),
        "height": st.integers(1, 6),
        "window_size": st.integers(1, 40),
        "seed": st.integers(0, 2**40),
    },
    optional={
        "limits": st.dictionaries(
            st.sampled_from(FEATURES),
            st.tuples(st.floats(-50, 0), st.floats(0.1, 50)),
        )
    },
)


@settings(max_examples=60)
@given(
    params=PARAMS,
    data=st.integers(0, 2**32),
    grid=st.sampled_from([None, None, 8, 2, 1]),
    missing=st.sampled_from([0.0, 0.0, 0.02, 0.4, 0.9]),
    warm_up=st.one_of(st.none(), st.integers(1, 60)),
)
@example(params={"n_trees": 3, "height": 3, "window_size": 255}, data=1, grid=4, missing=0.1, warm_up=None)
@example(params={"n_trees": 3, "height": 3, "window_size": 256}, data=2, grid=1, missing=0.1, warm_up=None)
@example(params={"n_trees": 2, "height": 8, "window_size": 260}, data=3, grid=None, missing=0.0, warm_up=1)
@example(params={"n_trees": 2, "height": 8, "window_size": 200}, data=4, grid=None, missing=0.3, warm_up=300)
def test_scores_are_rivers_to_the_bit(
    params: Params, data: int, grid: int | None, missing: float, warm_up: int | None
) -> None:
    twin, river = both(params, warm_up=warm_up)
    count = 3 * params.get("window_size", 250) // 2 + 60
    assert_same_scores(twin, river, rows(data, count, grid=grid, missing=missing), within=0)


def test_the_parameters_left_out_are_rivers() -> None:
    scores = assert_same_scores(*both({}), rows(5, 520), within=0)
    assert ((scores > 0.5) & (scores < 1)).all()


def test_a_value_at_a_threshold_goes_where_river_sends_it() -> None:
    model: Any = anomaly.HalfSpaceTrees(n_trees=2, height=4, window_size=10, seed=3)
    model.learn_one(dict.fromkeys(FEATURES, 0.5))
    splits = [node for tree in model.trees for node in tree.iter_dfs() if hasattr(node, "threshold")]
    thresholds = {name: [node.threshold for node in splits if node.feature == name] for name in FEATURES}
    features = np.array([[thresholds[name][row % len(thresholds[name])] for name in FEATURES] for row in range(60)])
    twin, river = both({"n_trees": 2, "height": 4, "window_size": 10, "seed": 3})
    assert_same_scores(twin, river, [batch_of(one[:1], one[np.newaxis]) for one in features], within=0)


def test_a_constant_and_an_outlier() -> None:
    twin, river = both({"n_trees": 5, "height": 5, "window_size": 20})
    same = [batch_of(np.full(1, 0.5), np.full((1, 4), 0.5))] * 45
    assert assert_same_scores(twin, river, same, within=0)[0] == 0.0, "all rows of the window fell where it falls"
    far = [batch_of(np.full(1, end), np.full((1, 4), end)) for end in (1e300, -1e300, np.inf, 0.0)]
    assert (assert_same_scores(twin, river, far, within=0) > 0.5).all()


def test_a_sensor_keeps_to_the_features_of_its_first_row() -> None:
    """Each of these sensors lacks other ones for good, so River gives each trees of its own."""
    batches = rows(9, 150, sensors=4)
    for batch in batches:
        batch.features[1, 0] = np.nan
        batch.features[2, 2:] = np.nan
        batch.features[3, 0] = np.nan
    twin, river = both({"n_trees": 4, "height": 4, "window_size": 15, "seed": 8})
    assert np.isfinite(assert_same_scores(twin, river, batches[:120], within=0)).all()
    for batch in batches[120:]:
        batch.features[1:] = np.random.default_rng(1).uniform(0, 1, (3, 4))  # they come later, and River looks not
    assert_same_scores(twin, river, batches[120:], within=0)
    restored, _ = both({"n_trees": 4, "height": 4, "window_size": 15, "seed": 8})
    restored.load(twin.state())
    assert_same_scores(restored, river, rows(10, 30, sensors=4), within=0)


def test_memory_and_snapshot_are_a_few_bytes_a_leaf() -> None:
    twin = HalfSpaceTrees(FEATURES, n_trees=10, height=6, window_size=250)
    shared = twin.nbytes
    twin.grow(1000)
    assert twin.nbytes - shared == 1000 * (10 * 2**6 * 3 + 3 * 8)
    wide = HalfSpaceTrees(FEATURES, n_trees=10, height=8, window_size=1000)
    shared = wide.nbytes
    wide.grow(1000)
    assert wide.nbytes - shared == 1000 * (10 * 2**8 * 6 + 3 * 8)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_trees": 0}, "n_trees = 0: must be a whole number, at least 1"),
        ({"height": "8"}, "height = '8': must be a whole number, at least 1"),
        ({"window_size": 2.5}, "window_size = 2.5: must be a whole number"),
        ({"warm_up": 0}, "warm_up = 0: must be a whole number, at least 1"),
        ({"limits": {"values": [0, 1]}}, "limits of 'values': the features are value, delta, hour, a"),
        ({"limits": {"value": [1, 0]}}, r"limits of 'value' = \[1, 0\]: must be two numbers, the lower one first"),
        ({"limits": {"value": [0]}}, r"limits of 'value' = \[0\]: must be two numbers"),
        ({"limits": {"value": ["a", "b"]}}, "must be two numbers"),
    ],
)
def test_wrong_parameters_say_what_is_allowed(params: Params, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HalfSpaceTrees(FEATURES, **params)


def test_it_needs_features_as_rivers_does() -> None:
    with pytest.raises(ValueError, match="judges features, and none are configured"):
        HalfSpaceTrees(())
    with pytest.raises(KindError, match="judges features, and none are configured"):
        RiverDetector((), kind="river.anomaly.HalfSpaceTrees")


def test_what_does_not_fit_its_arrays_is_left_to_river() -> None:
    assert HalfSpaceTrees.covers({})
    assert HalfSpaceTrees.covers({"window_size": 65_535, "height": 14})
    assert not HalfSpaceTrees.covers({"window_size": 65_535, "height": 16})
    assert not HalfSpaceTrees.covers({"window_size": 65_536})
    assert not HalfSpaceTrees.covers({"height": 30})
    assert HalfSpaceTrees.covers({"height": "8"}), "it says better what is wrong"


def test_other_parameters_or_features_start_afresh() -> None:
    twin = HalfSpaceTrees(FEATURES, n_trees=2, height=2)
    state = twin.state()
    with pytest.raises(ValueError, match=r"made with seed = 0, this detector has 1: start it afresh"):
        HalfSpaceTrees(FEATURES, n_trees=2, height=2, seed=1).load(state)
    with pytest.raises(ValueError, match="made with feature_names"):
        HalfSpaceTrees(FEATURES[::-1], n_trees=2, height=2).load(state)
