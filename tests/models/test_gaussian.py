"""The twin of GaussianScorer against River itself by the adapter: all values and windows, no variance, extremes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.gaussian import GaussianScorer
from models.river_adapter import RiverDetector
from tests.models.twins import assert_same_scores, batch_of

WITHIN = 1e-12
Params = dict[str, Any]

VALUES = st.one_of(
    st.lists(st.floats(-50, 50), max_size=80),
    st.lists(st.integers(-3, 3).map(lambda n: n / 8), max_size=80),
    st.lists(st.sampled_from([20.1, 20.1, 20.1, 20.2, -1e6]), max_size=80),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=40),
)


def both(params: Params, *, warm_up: int | None = None) -> tuple[GaussianScorer, RiverDetector]:
    twin = GaussianScorer((), **params, warm_up=warm_up)
    return twin, RiverDetector((), kind="river.anomaly.GaussianScorer", params=params, warm_up=warm_up)


@settings(max_examples=150)
@given(
    values=VALUES,
    grace_period=st.integers(0, 12),
    more=st.one_of(st.none(), st.integers(0, 20)),
    warm_up=st.one_of(st.none(), st.integers(1, 30)),
)
@example(values=[1.0, 2.0, 1.0], grace_period=0, more=1, warm_up=None)
@example(values=[0.1] * 30 + [0.2], grace_period=2, more=5, warm_up=None)
def test_scores_are_rivers(values: list[float], grace_period: int, more: int | None, warm_up: int | None) -> None:
    window = {} if more is None else {"window_size": max(grace_period + more, 1)}
    batches = [batch_of(np.array([value, -value])) for value in values]
    assert_same_scores(*both({"grace_period": grace_period, **window}, warm_up=warm_up), batches, within=WITHIN)


@pytest.mark.parametrize("params", [{}, {"window_size": 100}, {"window_size": None, "grace_period": 30}])
@pytest.mark.parametrize("offset", [0.0, 1e6, -1e3])
def test_it_stays_rivers_over_a_long_run(params: Params, offset: float) -> None:
    """A windowed variance forgets by subtraction, so that rounding adds up: it must do so in the same way."""
    values = offset + np.random.default_rng(4).normal(0, 3, (3000, 2)).round(2)
    values[1000:1400, 1] = offset  # stuck, so long that a window holds nothing else
    scores = assert_same_scores(*both(params), [batch_of(one) for one in values], within=WITHIN)
    assert ((scores > 0) & (scores < 1)).all()


def test_without_variance_the_mean_scores_0_and_others_1() -> None:
    twin, river = both({"grace_period": 5})
    assert_same_scores(twin, river, [batch_of(np.array([20.1, 0.0]))] * 10, within=0)
    for values, expected in (
        ([20.1, 0.0], [0.0, 0.0]),
        ([20.1 + 1e-14, 1e-300], [0.0, 1.0]),
        ([21.0, -1.0], [1.0, 1.0]),
    ):
        assert twin.score(batch_of(np.array(values))).tolist() == expected
        assert river.score(batch_of(np.array(values))).tolist() == expected


def test_memory_is_three_numbers_and_the_window() -> None:
    for params, numbers in (({}, 3), ({"window_size": 150}, 153)):
        twin = GaussianScorer((), **params)
        twin.grow(1000)
        assert twin.nbytes == 1000 * numbers * 8


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"window_size": 50}, "window_size = 50 is less than grace_period = 100: it would never score"),
        ({"window_size": -5}, "window_size = -5: must be a whole number, at least 1"),
        ({"grace_period": -1}, "grace_period = -1: must be a whole number, at least 0"),
        ({"grace_period": "9"}, "grace_period = '9': must be a whole number"),
        ({"warm_up": 0}, "warm_up = 0: must be a whole number, at least 1"),
    ],
)
def test_wrong_parameters_say_what_is_allowed(params: Params, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GaussianScorer((), **params)


def test_a_state_fits_one_window() -> None:
    state = GaussianScorer((), window_size=200).state()
    with pytest.raises(ValueError, match="made with window = 200, this detector has 0: start it afresh"):
        GaussianScorer(()).load(state)
