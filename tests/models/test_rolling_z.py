"""RollingZ against plain Python, and its edges: constant history, rounding, resolution."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.detector import Batch
from models.rolling_z import MAX_SCORE, RollingZ


def one(value: float) -> Batch:
    zero = np.zeros(1, np.int64)
    return Batch(zero, zero, np.array([value]), np.zeros((1, 0)), zero, zero)


def taught(history: list[float], *, window: int = 10, min_samples: int = 2, min_std: float = 0.0) -> RollingZ:
    detector = RollingZ((), window=window, min_samples=min_samples, min_std=min_std)
    detector.grow(1)
    for value in history:
        detector.learn(one(value))
    return detector


def score(detector: RollingZ, value: float) -> float:
    return float(detector.score(one(value))[0])


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(-1000, 1000).map(lambda n: n / 8), min_size=2, max_size=30), st.integers(-9000, 9000))
def test_equals_plain_python_over_the_last_values(history: list[float], value: int) -> None:
    last = history[-10:]
    spread = statistics.pstdev(last)
    mean = math.fsum(last) / len(last)
    expected = abs(value - mean) / spread if spread else (0.0 if value == mean else MAX_SCORE)
    assert score(taught(history), value) == pytest.approx(min(expected, MAX_SCORE), rel=1e-9, abs=1e-9)


def test_unknown_until_min_samples_are_learnt() -> None:
    detector = taught([1.0] * 4, min_samples=5)
    assert math.isnan(score(detector, 1.0))
    detector.learn(one(2.0))
    assert score(detector, 1.2) == pytest.approx(0.0)


def test_a_constant_history_knows_equal_from_different_but_not_rounding() -> None:
    detector = taught([0.1] * 7)
    assert score(detector, 0.1) == 0.0
    assert score(detector, 0.1 + 1e-16) < 1e-3
    assert score(detector, 0.2) == MAX_SCORE
    assert score(taught([0.0] * 7), 0.0) == 0.0
    assert score(taught([0.0] * 7), 1e-300) == MAX_SCORE
    assert score(taught([0.1, 0.1 + 2e-17, 0.1] * 3), 0.1 + 3e-17) < 1e-3, "noise of rounding is not a scale"


def test_min_std_is_the_resolution_of_coarse_sensors() -> None:
    assert score(taught([45.0] * 10, min_std=0.5), 46.0) == pytest.approx(2.0)


def test_values_at_the_ends_of_the_range_have_a_finite_score() -> None:
    detector = taught([1.7e308, -1.7e308] * 5)
    assert score(detector, 1.7e308) == pytest.approx(1.0)
    assert score(detector, 0.0) == pytest.approx(0.0)


def test_memory_is_the_window_and_a_counter() -> None:
    detector = RollingZ((), window=60)
    detector.grow(1000)
    assert detector.nbytes == 1000 * (60 + 1) * 8


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"min_samples": 61}, r"min_samples = 61: must be from 2 to window \(60\)"),
        ({"min_std": -1.0}, "min_std = -1.0: must be 0 or more"),
    ],
)
def test_wrong_parameters_say_what_is_allowed(params: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RollingZ((), **params)  # type: ignore[arg-type]
