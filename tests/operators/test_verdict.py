"""Fusion, alarm, gate and news, on raw scores made up for the purpose."""

import math
import pickle
from dataclasses import fields

import numpy as np
import pytest

from models.calibration import MAX_NOVELTY
from operators.batches import Floats
from operators.verdict import LONGEST_MS, NEWS_READINGS, SETTLING_READINGS, WEEK_MS, Judged, Verdict, Voice

ONE = np.zeros(1, np.int64)
IN_ORDER = np.ones(1, np.bool_)


def fresh(detectors: int = 3, *, sensors: int = 1, **how: float) -> Verdict:
    verdict = Verdict([1.0] * detectors, **how)
    verdict.grow(sensors)
    return verdict


def fed(verdict: Verdict, raw: Floats, *, from_ms: int = 0, step_ms: int = 1_000, slot: int = 0) -> Judged:
    """Raw scores (rows, detectors) of one sensor, one by one; their verdicts, joined."""
    slots = np.array([slot])
    found = [
        verdict.judge(slots, np.array([from_ms + row * step_ms]), raw[row : row + 1], IN_ORDER)
        for row in range(len(raw))
    ]
    return Judged(*(np.concatenate([getattr(one, field.name) for one in found]) for field in fields(Judged)))


def normal(rows: int, *, seed: int = 1, detectors: int = 3) -> Floats:
    return np.abs(np.random.default_rng(seed).standard_normal((rows, detectors)))


def test_unknown_while_warming_up_then_calm() -> None:
    judged = fed(fresh(), normal(3_000))
    assert np.isnan(judged.score[:50]).all()
    assert np.isfinite(judged.score[100:]).all()
    assert np.isfinite(judged.fused[100:]).all()
    assert judged.threshold[100:] == pytest.approx(math.log10(WEEK_MS / 1_000))
    assert not judged.alarm.any()
    assert judged.teaches.all()


def test_alarms_while_a_fault_lasts_and_not_after() -> None:
    verdict = fresh()
    fed(verdict, normal(2_000))
    fault = fed(verdict, normal(200, seed=2) + 12.0, from_ms=2_000_000)
    after = fed(verdict, normal(200, seed=3), from_ms=2_200_000)
    assert fault.alarm.all()
    assert not after.alarm.any()
    assert (fault.fused > fault.threshold).all()


def test_in_an_alarm_nothing_teaches_and_the_next_fault_is_found_as_well() -> None:
    verdict = fresh()
    fed(verdict, normal(2_000))
    for hour in range(1, 40):
        fault = fed(verdict, normal(100, seed=2) + 12.0, from_ms=hour * 3_600_000)
        assert fault.alarm.all()
        assert not fault.teaches.any()
        after = fed(verdict, normal(1_500, seed=hour), from_ms=hour * 3_600_000 + 100_000)
        assert after.teaches[2:].all()


def test_what_lasts_is_a_new_normal() -> None:
    verdict = fresh()
    fed(verdict, normal(2_000), step_ms=10_000)
    lasting = fed(verdict, normal(2_000, seed=2) + 12.0, from_ms=20_000_000, step_ms=10_000)
    until = LONGEST_MS // 10_000
    assert lasting.alarm[: until + 1].all()
    assert not lasting.alarm[until + 2 : until + SETTLING_READINGS].any()
    assert lasting.teaches[until + 2 : until + SETTLING_READINGS].all()
    assert not lasting.alarm[-500:].any()
    worse = fed(verdict, normal(5, seed=3) + 90.0, from_ms=60_000_000, step_ms=10_000)
    assert worse.alarm.all(), "but something stranger is an alarm again"


def test_the_threshold_follows_the_pace_and_the_alarms_allowed() -> None:
    """The same scores, sent a hundred times slower, need be less strange to be seen once a week."""
    least = []
    for step_ms, per_week in ((100, 1.0), (10_000, 1.0), (10_000, 100.0)):
        verdict = fresh(false_alarms_per_week=per_week)
        fed(verdict, normal(2_000), step_ms=step_ms)
        least.append(least_alarm(verdict, at_ms=2_000 * step_ms))
        assert least[-1] == pytest.approx(math.log10(WEEK_MS / step_ms / per_week), abs=0.3)
    assert least[0] > least[1] + 1.5 > least[2] + 3.0


def least_alarm(verdict: Verdict, *, at_ms: int) -> float:
    """How strange the weakest scores that alarm are, each tried as the next reading."""
    before = pickle.dumps(verdict.snapshot())
    for size in np.arange(1.0, 12.0, 0.05):
        verdict.load(pickle.loads(before))
        judged = fed(verdict, np.full((1, 3), size), from_ms=at_ms)
        if judged.alarm[0]:
            return float(judged.fused[0])
    return math.inf


def test_a_weak_detector_does_not_hide_what_a_strong_one_sees() -> None:
    """Adding columns that see nothing lowers fused surprise little."""
    few, many = fresh(2), fresh(6)
    raw = normal(3_000, detectors=6)
    fed(few, raw[:, :2])
    fed(many, raw)
    strange = np.concatenate([[[20.0, 20.0]], normal(1, seed=9, detectors=4)], axis=1)
    assert fed(few, strange[:, :2], from_ms=4_000_000).alarm.all()
    assert fed(many, strange, from_ms=4_000_000).alarm.all()


def test_a_voice_may_count_for_the_alarm_the_score_or_neither() -> None:
    verdict = Verdict([1.0, Voice(alarm=0.0), Voice(score=0.0), 0.0])
    verdict.grow(1)
    fed(verdict, normal(1_000, detectors=4))
    before = pickle.dumps(verdict.snapshot())

    def strange(place: int) -> Judged:
        verdict.load(pickle.loads(before))
        raw = np.full((1, 4), 0.5)
        raw[0, place] = 100.0
        return fed(verdict, raw, from_ms=1_000_000)

    assert [bool(strange(place).alarm[0]) for place in range(4)] == [True, False, True, False]
    assert [bool(strange(place).score[0] > 3) for place in range(4)] == [True, True, False, False]
    assert strange(3).surprise[0, 3] > 5, "without a say it is calibrated all the same"


def test_scores_that_are_chances_already_are_taken_as_they_are() -> None:
    verdict = Verdict([1.0, Voice(score=0.0, calibrated=False)])
    verdict.grow(1)
    judged = fed(verdict, np.array([[np.nan, 0.3], [np.nan, 9.0], [np.nan, 99.0], [np.nan, 0.1]]))
    assert judged.surprise[:, 1].tolist() == [0.3, 9.0, MAX_NOVELTY, 0.1]
    assert judged.alarm.tolist() == [False, True, True, False]


def test_unknown_detectors_are_left_out() -> None:
    verdict, other = fresh(3), fresh(2)
    raw = normal(1_000)
    raw[:, 2] = np.nan
    judged, expected = fed(verdict, raw), fed(other, raw[:, :2])
    np.testing.assert_array_equal(judged.score, expected.score)
    assert np.isnan(fed(verdict, np.full((1, 3), np.nan), from_ms=1_000_000).score).all()


def test_a_score_is_given_out_only_when_it_is_news() -> None:
    verdict = fresh()
    given = np.flatnonzero(fed(verdict, normal(2_000)).score > 0)
    assert 5 < np.count_nonzero(given > 300) < 100
    assert np.diff(given[given > 300]).max() > NEWS_READINGS / 2
    peak = fed(verdict, np.array([[30.0] * 3, [30.0] * 3, [2.0] * 3]), from_ms=2_000_000).score
    assert peak[0] > 3.0
    assert peak[2] == 0.0
    again = fed(verdict, np.concatenate([normal(20, seed=3), np.full((3, 3), 25.0)]), from_ms=2_003_000).score
    assert not again.any(), "no news so soon"


def test_rows_out_of_order_are_calibrated_and_change_nothing() -> None:
    verdict = fresh()
    fed(verdict, normal(500))
    before = pickle.dumps(verdict.snapshot())
    judged = verdict.judge(ONE, np.array([10]), np.full((1, 3), 40.0), np.zeros(1, np.bool_))
    assert judged.surprise.min() > 3
    assert math.isinf(judged.threshold[0])
    assert not judged.alarm[0]
    assert not judged.teaches[0]
    assert math.isnan(judged.score[0])
    assert pickle.dumps(verdict.snapshot()) == before


def test_batches_snapshots_and_growth_change_nothing() -> None:
    together, alone = fresh(sensors=3), fresh(sensors=3)
    rng = np.random.default_rng(5)
    for row in range(400):
        raw = np.abs(rng.standard_normal((3, 3))) * (20 if row % 150 == 149 else 1)
        if row == 200:
            restored = fresh(sensors=0)
            restored.load(pickle.loads(pickle.dumps(alone.snapshot())))
            restored.grow(5)
            alone = restored
        times = np.full(3, row * 1_000)
        judged = together.judge(np.arange(3), times, raw, np.ones(3, np.bool_))
        for slot in (2, 0, 1):
            one = alone.judge(np.array([slot]), times[:1], raw[slot : slot + 1], IN_ORDER)
            for field in fields(Judged):
                np.testing.assert_array_equal(getattr(one, field.name)[0], getattr(judged, field.name)[slot])
    assert judged.surprise.shape == (3, 3)


def test_reset_starts_a_sensor_or_a_detector_afresh() -> None:
    verdict = fresh(2, sensors=2)
    for slot in (0, 1):
        fed(verdict, normal(500, detectors=2), slot=slot)
    verdict.reset_detector(1)
    assert np.isnan(fed(verdict, normal(1, detectors=2), from_ms=1_000_000).surprise[0]).tolist() == [False, True]
    verdict.reset(np.array([0]))
    np.testing.assert_array_equal(
        fed(verdict, normal(300, detectors=2)).score, fed(fresh(2), normal(300, detectors=2)).score
    )
    assert np.isfinite(fed(verdict, normal(1, detectors=2), from_ms=1_000_000, slot=1).score).all()


def test_false_alarms_must_be_allowed() -> None:
    with pytest.raises(ValueError, match="false_alarms_per_week = 0: must be above 0"):
        Verdict([1.0], false_alarms_per_week=0)
