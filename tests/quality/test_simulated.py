"""The scoring of simulated faults, on recordings written out by hand and on the simulator's own."""

import math

import numpy as np
import pytest

from infra.simulate.faults import LABELS, NORMAL
from infra.simulate.simulation import Columns
from tests.quality import simulated
from tests.quality.simulated import DAY_MS, MINUTE_MS, Recording

STUCK, SPIKE = LABELS.index("stuck"), LABELS.index("spike")


def recording(labels: dict[int, int], *, minutes: int = 10, missing: tuple[int, ...] = ()) -> Recording:
    """One sensor that sends every 10 s; labels: fault by number of the reading."""
    rows = [row for row in range(6 * minutes) if row not in missing]
    label = np.array([labels.get(row, NORMAL) for row in rows], np.uint8)
    times = np.array([10_000 * row for row in rows], np.int64)
    columns = Columns(np.zeros(len(rows), np.int64), times, np.zeros(len(rows)), label)
    return Recording(columns, 1, 10_000.0, 0, minutes * MINUTE_MS)


def alarms(one: Recording, *times_s: int) -> simulated.Flags:
    return np.isin(one.columns.time_ms, [1000 * time for time in times_s])


def test_minutes_are_right_or_wrong_whatever_happens_within_them() -> None:
    one = recording({7: STUCK, 8: STUCK, 13: STUCK, 20: SPIKE})
    result = simulated.score(one, alarms(one, 80, 200, 410, 420), warm_up_ms=0)
    assert (result.true_positives, result.false_positives) == (2, 2)
    assert (result.false_negatives, result.true_negatives) == (1, 5)
    assert result.accuracy == 0.7
    assert result.f1 == pytest.approx(2 * 2 / (2 * 2 + 2 + 1))
    stuck, spike = result.kinds["stuck"], result.kinds["spike"]
    assert (stuck.windows, stuck.found, stuck.episodes, stuck.episodes_found) == (2, 1, 2, 1)
    assert (stuck.recall, stuck.delay_s) == (0.5, 10.0)
    assert (spike.recall, spike.delay_s) == (1.0, 0.0)
    assert math.isnan(result.kinds["drift"].recall)


def test_false_alarms_are_episodes_that_touch_no_fault() -> None:
    one = recording({12: STUCK, 13: STUCK})
    result = simulated.score(one, alarms(one, 130, 140, 150, 300, 310, 350, 500), warm_up_ms=0)
    days = 10 * MINUTE_MS / DAY_MS
    assert result.false_alarms_per_day == pytest.approx(2 / days), "one at 300 s and soon again, one at 500 s"


def test_a_silence_is_found_by_its_gap_when_it_is_long_enough() -> None:
    one = recording({}, missing=(20, 21, 22, 23, 40))
    result = simulated.score(one, alarms(one), warm_up_ms=0)
    silence = result.kinds["silence"]
    assert (silence.windows, silence.found) == (2, 1)
    assert (result.true_positives, result.false_negatives, result.false_positives) == (1, 1, 0)


def test_the_warm_up_is_not_judged() -> None:
    one = recording({3: STUCK, 30: STUCK})
    result = simulated.score(one, alarms(one, 0, 10, 300), warm_up_ms=2 * MINUTE_MS)
    assert (result.true_positives, result.false_positives, result.false_negatives) == (1, 0, 0)
    assert result.true_negatives == 7
    assert result.false_alarms_per_day == 0.0
    assert result.kinds["stuck"].episodes == 1


def test_who_always_and_who_never_alarms() -> None:
    real = simulated.record(seed=3, sensors=7, interval_s=2.0, hours=0.5)
    assert set(np.unique(real.columns.label)) > {NORMAL}
    truth = real.columns.label != NORMAL
    perfect = simulated.score(real, truth, warm_up_ms=0)
    assert perfect.accuracy == pytest.approx(1.0, abs=0.02), "but for silences too short to tell"
    assert perfect.false_alarms_per_day == 0.0
    always = simulated.score(real, np.ones_like(truth), warm_up_ms=0)
    never = simulated.score(real, np.zeros_like(truth), warm_up_ms=0)
    assert always.f1 < 0.6
    assert always.true_negatives == 0
    assert never.true_positives == never.kinds["silence"].found
