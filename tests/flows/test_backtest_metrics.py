"""Metrics against counts by hand."""

from math import isnan

import numpy as np
import pytest

from flows.backtest_metrics import measure, stretches
from operators.batches import Flags

DAY_MS = 86_400_000


def flags(text: str) -> Flags:
    return np.array([mark == "x" for mark in text], np.bool_)


def test_rows_and_episodes() -> None:
    labelled = flags("..xxxx....xx..")
    flagged_ = flags("x...xx.xx....x")
    found = measure(time_ms=DAY_MS * np.arange(14), labelled=labelled, flagged=flagged_)
    counts = (found.true_positives, found.false_positives, found.false_negatives, found.true_negatives)
    assert counts == (2, 4, 4, 4)
    assert found.precision == pytest.approx(2 / 6)
    assert found.recall == pytest.approx(2 / 6)
    assert found.f1 == pytest.approx(2 * 2 / (2 * 2 + 4 + 4))
    assert found.far == pytest.approx(4 / 8)
    assert found.mar == pytest.approx(4 / 6)
    assert (found.episodes, found.found, found.delay_ms) == (2, 1, 2 * DAY_MS)
    assert found.false_episodes == 3
    assert found.false_episodes_per_1000_rows == pytest.approx(3000 / 14)
    assert found.false_episodes_per_week == pytest.approx(3 / (13 / 7))


def test_the_delay_is_the_median_of_those_found() -> None:
    labelled, flagged_ = flags("xxxxx.xxxxx.xxxxx"), flags("x.....x..x......x")
    found = measure(time_ms=1000 * np.arange(17), labelled=labelled, flagged=flagged_)
    assert (found.episodes, found.found, found.delay_ms) == (3, 3, 0)
    assert isnan(found.false_episodes_per_week), "17 seconds say nothing of a week"


def test_nothing_to_divide_by_is_nan() -> None:
    none = flags("....")
    found = measure(time_ms=np.arange(4), labelled=none, flagged=none)
    assert isnan(found.precision)
    assert isnan(found.recall)
    assert isnan(found.f1)
    assert isnan(found.mar)
    assert isnan(found.delay_ms)
    assert found.far == 0
    empty = measure(time_ms=np.empty(0, np.int64), labelled=flags(""), flagged=flags(""))
    assert (empty.rows, empty.episodes) == (0, 0)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("", []), ("...", []), ("xx", [(0, 2)]), (".x.xx", [(1, 2), (3, 5)]), ("x.x", [(0, 1), (2, 3)])],
)
def test_stretches(text: str, wanted: list[tuple[int, int]]) -> None:
    assert stretches(flags(text)) == wanted
