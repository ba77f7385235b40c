"""The twin of PageHinkley against River itself: drifts at the same values."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from river import drift

from models.page_hinkley import PageHinkley

Params = dict[str, Any]
SLOT = np.zeros(1, np.int64)

PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "min_instances": st.integers(0, 20),
        "delta": st.sampled_from([0.0, 0.005, 0.5]),
        "threshold": st.sampled_from([0.0, 1.0, 5.0, 50]),
        "alpha": st.sampled_from([1.0, 1 - 0.0001, 0.9, 0]),
        "mode": st.sampled_from(["up", "down", "both"]),
    },
)
LEVELS = st.lists(st.tuples(st.sampled_from([0.0, 0.0, 1.0, -2.0, 10.0, 1e6]), st.integers(1, 60)), max_size=6)


def drifts(values: list[float], params: Params) -> list[int]:
    twin = PageHinkley(**params)
    twin.grow(1)
    return [row for row, value in enumerate(values) if twin.update(SLOT, np.array([value]))[0]]


def drifts_of_river(values: list[float], params: Params) -> list[int]:
    river: Any = drift.PageHinkley(**params)
    rows = []
    for row, value in enumerate(values):
        river.update(value)
        if river.drift_detected:
            rows.append(row)
    return rows


@settings(max_examples=200)
@given(params=PARAMS, levels=LEVELS, seed=st.integers(0, 2**32), noise=st.sampled_from([0.0, 0.1, 1.0]))
@example(params={}, levels=[(0.0, 60), (10.0, 60)], seed=1, noise=1.0)
def test_drifts_are_rivers(params: Params, levels: list[tuple[float, int]], seed: int, noise: float) -> None:
    random = np.random.default_rng(seed)
    values = [level + noise * random.normal() for level, rows in levels for _ in range(rows)]
    assert drifts(values, params) == drifts_of_river(values, params)


def test_its_sums_are_rivers_over_a_long_run() -> None:
    values = np.random.default_rng(3).normal(0, 1, 5000).tolist()
    twin = PageHinkley(threshold=1e9)
    river: Any = drift.PageHinkley(threshold=1e9)
    twin.grow(1)
    for value in values:
        twin.update(SLOT, np.array([value]))
        river.update(value)
    sums = np.array(twin.state()["sums"])[0]
    expected = [
        river._x_mean.n,
        river._x_mean.get(),
        river._sum_increase,
        river._sum_decrease,
        river._min_increase,
        river._max_decrease,
    ]
    assert sums.tolist() == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(
    ("mode", "shift", "found"), [("up", 3, True), ("up", -3, False), ("down", -3, True), ("down", 3, False)]
)
def test_the_mode_says_which_way(mode: str, shift: float, found: bool) -> None:
    values = np.random.default_rng(0).normal(0, 1, 200) + shift * (np.arange(200) >= 100)
    rows = drifts(values.tolist(), {"mode": mode, "threshold": 20.0, "delta": 0.2})
    assert (len(rows) > 0) == found
    assert all(100 <= row < 120 for row in rows[:1])


def test_memory_is_six_numbers() -> None:
    twin = PageHinkley()
    twin.grow(1000)
    assert twin.nbytes == 1000 * 48


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"mode": "sideways"}, "mode = 'sideways': must be 'up', 'down' or 'both'"),
        ({"min_instances": 3.5}, "min_instances = 3.5: must be a whole number, at least 0"),
        ({"threshold": -1}, "threshold = -1: must be a number, 0 or more"),
        ({"delta": "0"}, "delta = '0': must be a number, 0 or more"),
        ({"alpha": 1.5}, "alpha = 1.5: must be from 0 to 1"),
    ],
)
def test_wrong_parameters_say_what_is_allowed(params: Params, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PageHinkley(**params)
