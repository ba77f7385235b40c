"""The twin of StandardAbsoluteDeviation against River itself by the adapter."""

import numpy as np
import pytest
from hypothesis import given, settings

from models.absolute_deviation import StandardAbsoluteDeviation
from models.river_adapter import RiverDetector
from tests.models.test_gaussian import VALUES
from tests.models.twins import assert_same_scores, batch_of

WITHIN = 1e-12


def both(*, warm_up: int | None = None) -> tuple[StandardAbsoluteDeviation, RiverDetector]:
    twin = StandardAbsoluteDeviation(()) if warm_up is None else StandardAbsoluteDeviation((), warm_up=warm_up)
    return twin, RiverDetector((), kind="river.anomaly.StandardAbsoluteDeviation", warm_up=warm_up)


@settings(max_examples=100)
@given(values=VALUES)
def test_scores_are_rivers(values: list[float]) -> None:
    batches = [batch_of(np.array([value, -value, value / 3])) for value in values]
    assert_same_scores(*both(warm_up=1), batches, within=WITHIN)


def test_warm_up_and_long_run_are_rivers() -> None:
    values = np.random.default_rng(4).normal(20, 3, (2000, 2)).round(1)
    scores = assert_same_scores(*both(), [batch_of(one) for one in values], within=WITHIN)
    assert np.isfinite(scores).all()


def test_a_constant_and_its_jump() -> None:
    twin, river = both(warm_up=5)
    assert assert_same_scores(twin, river, [batch_of(np.full(1, 20.1))] * 9, within=0).tolist() == [0.0]
    assert twin.score(batch_of(np.full(1, 21.1)))[0] == pytest.approx(1e10)


def test_memory_is_three_numbers() -> None:
    twin = StandardAbsoluteDeviation(())
    twin.grow(1000)
    assert twin.nbytes == 1000 * 24


def test_another_statistic_is_left_to_river() -> None:
    assert StandardAbsoluteDeviation.covers({"warm_up": 5})
    assert not StandardAbsoluteDeviation.covers({"sub_stat": {"kind": "river.stats.Quantile"}})


def test_wrong_parameters_say_what_is_allowed() -> None:
    with pytest.raises(ValueError, match=r"warm_up = 0.5: must be a whole number, at least 1"):
        StandardAbsoluteDeviation((), warm_up=0.5)  # type: ignore[arg-type]
