"""Intervals, gaps, silence; gaps are looked for when a pane of 10 s ends."""

import numpy as np
import pytest

from operators.cadence import Cadence
from operators.registry import Registry, SensorInfo
from tests.operators.engine import Engine, tumbling

WINDOW = [tumbling("t", 10)]
EVERY_SECOND = Registry(sensors={"a": SensorInfo(interval_ms=1000)})


def observe(cadence: Cadence, *time_ms: int, slot: int = 0) -> list[tuple[int, int, int]]:
    """(start, end, missing) of the gaps that end with these readings."""
    gaps = cadence.observe(np.full(len(time_ms), slot), np.array(time_ms, np.int64))
    return list(zip(gaps.start_ms.tolist(), gaps.end_ms.tolist(), gaps.missing.tolist(), strict=True))


def cadence_of(*interval_ms: float) -> Cadence:
    cadence = Cadence(gap_factor=3, forget_after_ms=60_000)
    cadence.enrol(np.arange(len(interval_ms)), interval_ms)
    return cadence


def test_a_gap_is_longer_than_so_many_intervals() -> None:
    # interval 10, factor 3      0  10  40    71: the last distance is 31
    assert observe(cadence_of(10.0), 0, 10, 40, 71) == [(40, 71, 2)]


def test_the_median_of_the_last_distances_is_the_interval() -> None:
    # distances 10 10 50 10 10: learnt with the fifth; 50 itself came before anything was known
    cadence = cadence_of(np.nan)
    assert observe(cadence, 0, 10, 20, 70, 80) == []
    assert observe(cadence, 90, 121) == [(90, 121, 2)]
    assert observe(cadence_of(np.nan), 0, 10, 20, 70, 80, 121) == [], "four distances teach nothing"


def test_equal_times_and_disorder_are_no_distances() -> None:
    cadence = cadence_of(np.nan)
    observe(cadence, 0, 10, 5, 10, 20, 20, 30, 40)
    _, _, unknown = cadence.expected(np.array([0]), 100)
    assert np.isnan(unknown).all()
    observe(cadence, 50)
    assert cadence.expected(np.array([0]), 100)[2].tolist() == [10]


@pytest.mark.parametrize("batches", [True, False])
def test_silence_is_told_once_and_ends_as_a_gap(batches: bool) -> None:
    # a   0 1 2                        12.5         silent after 3 s: told when the pane [0,10) ends
    # b         ...  9     11     ...
    engine = Engine(windows=WINDOW, registry=EVERY_SECOND)
    engine.feed("t/0", ("a", 0, 1.0), ("a", 1, 2.0), ("a", 2, 3.0), ("b", 9, 1.0), batches=batches)
    assert engine.episodes("gap") == []
    engine.feed("t/0", ("b", 11, 1.0), ("b", 12, 1.0), batches=batches)
    assert engine.episodes("gap") == [("a", 2, None, 0, None)]
    engine.feed("t/0", ("a", 12.5, 1.0), ("b", 20, 1.0), batches=batches)
    assert engine.episodes("gap") == [("a", 2, 12.5, 9, None), ("a", 12.5, None, 0, None)]


def test_a_silence_goes_on_over_a_restart() -> None:
    engine = Engine(windows=WINDOW, registry=EVERY_SECOND)
    engine.feed("t/0", ("a", 0, 1.0), ("b", 11, 1.0))
    engine.restart()
    engine.feed("t/0", ("b", 21, 1.0))
    assert engine.episodes("gap") == [("a", 0, None, 0, None)]
    engine.feed("t/0", ("a", 22, 1.0))
    assert engine.episodes("gap") == [("a", 0, 22, 21, None)]


def test_expected_from_the_first_reading_until_forgotten() -> None:
    # first 25, newest 40, forgotten at 40 + 60_000: panes of 10_000 that begin before are expected
    cadence = cadence_of(10.0, np.nan)
    observe(cadence, 25, 40)
    start, slot, expected = cadence.expected(np.arange(-10_000, 90_000, 10_000), 10_000)
    assert start.tolist() == list(range(0, 70_000, 10_000))
    assert set(slot.tolist()) == {0}, "the other series has said nothing yet"
    assert set(expected.tolist()) == {1000}
    assert cadence.horizon_ms() == 60_040


def test_a_snapshot_goes_on_with_the_intervals_configured_then() -> None:
    cadence = cadence_of(np.nan)
    observe(cadence, *range(0, 60, 10))
    again = cadence_of(np.nan)
    again.load(cadence.snapshot())
    observe(cadence, 1000)  # must not reach the copy
    assert observe(again, 81) == [(50, 81, 2)]
    configured = cadence_of(1000.0)
    configured.load(again.snapshot())
    assert observe(configured, 200) == []
    again.enrol(np.array([1]), [np.nan])
    assert observe(again, 5, slot=1) == []
