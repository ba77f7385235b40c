"""Checks of single sensors, on timelines small enough to do by hand."""

import numpy as np
import pytest

from operators.quality import CONFLICT, DUPLICATE, LATE_READING, OK, OUT_OF_ORDER, Checked, QualityChecks
from operators.registry import Registry, SensorInfo
from tests.operators.engine import Engine

Row = tuple[int, int, float]


def check(checks: QualityChecks, *rows: Row, watermark_ms: int = 0) -> Checked:
    """Rows of (slot, time, value) at one watermark."""
    slot, time_ms, value = (np.array(column) for column in zip(*rows, strict=True))
    return checks.check(
        slot=slot.astype(np.int64),
        time_ms=time_ms.astype(np.int64),
        value=value.astype(np.float64),
        watermark_ms=np.full(len(rows), watermark_ms),
        lateness=(time_ms < watermark_ms).astype(np.uint8),
        low=np.full(len(rows), np.nan),
        high=np.full(len(rows), np.nan),
    )


def checks_of(sensors: int = 2, *, horizon_ms: int = 60) -> QualityChecks:
    checks = QualityChecks(dedup_horizon_ms=horizon_ms, stuck_after_ms=10**9)
    checks.grow(sensors)
    return checks


def test_duplicates_and_conflicts() -> None:
    # time   10   20   20   10   10   20        sensor 1: 20
    # value   1    2    2    1    5    3                   2
    rows = [(0, 10, 1.0), (0, 20, 2.0), (0, 20, 2.0), (0, 10, 1.0), (0, 10, 5.0), (0, 20, 3.0), (1, 20, 2.0)]
    wanted = [OK, OK, DUPLICATE, DUPLICATE, CONFLICT, CONFLICT, OK]
    assert check(checks_of(), *rows).status.tolist() == wanted
    one_by_one = checks_of()
    assert [check(one_by_one, row).status[0] for row in rows] == wanted


def test_zero_has_one_sign() -> None:
    assert check(checks_of(), (0, 10, 0.0), (0, 10, -0.0)).status.tolist() == [OK, DUPLICATE]


def test_the_horizon_ends_what_is_remembered() -> None:
    checks = checks_of(horizon_ms=60)
    assert check(checks, (0, 40, 1.0), (0, 39, 1.0)).status.tolist() == [OK, OUT_OF_ORDER]
    again = check(checks, (0, 40, 1.0), (0, 39, 1.0), watermark_ms=100)
    assert again.status.tolist() == [DUPLICATE, LATE_READING], "watermark - horizon = 40, inclusive"


def test_a_late_reading_can_be_repeated_too() -> None:
    checks = checks_of()
    assert check(checks, (0, 90, 1.0), (0, 90, 1.0), (0, 90, 2.0), watermark_ms=100).status.tolist() == [
        LATE_READING,
        DUPLICATE,
        LATE_READING,
    ]


def test_the_log_grows_is_emptied_and_survives_a_restart() -> None:
    checks = checks_of(sensors=50, horizon_ms=1_000)
    for start in range(0, 20_000, 500):  # 500 rows a step, 1500 within the horizon: more than the first capacity
        rows = [(i % 50, start + i, 1.0) for i in range(500)]
        assert (check(checks, *rows, watermark_ms=start).status != DUPLICATE).all()
        if start % 2_000 == 0:
            fresh = checks_of(sensors=50, horizon_ms=1_000)
            fresh.load(checks.snapshot())
            checks = fresh
        assert (check(checks, *rows, watermark_ms=start).status == DUPLICATE).all()
    assert checks.nbytes < 1_000_000


def test_a_snapshot_shares_nothing_with_the_live_state() -> None:
    checks = checks_of()
    check(checks, (0, 10, 1.0), (1, 10, 1.0))
    state = checks.snapshot()
    check(checks, (0, 20, 2.0), (1, 30, 1.0))
    again = checks_of()
    again.load(state)
    assert check(again, (0, 20, 2.0), (1, 30, 1.0)).status.tolist() == [OK, OK]


def test_read_only_and_strided_columns_are_taken() -> None:
    times = np.repeat(np.array([10, 20]), 2)[::2]
    values = np.array([1.0, 2.0])
    values.flags.writeable = False
    slots, watermarks, none = np.zeros(2, np.int64), np.zeros(2, np.int64), np.full(2, np.nan)
    found = checks_of().check(
        slot=slots,
        time_ms=times,
        value=values,
        watermark_ms=watermarks,
        lateness=np.zeros(2, np.uint8),
        low=none,
        high=none,
    )
    assert found.status.tolist() == [OK, OK]


@pytest.mark.parametrize("batches", [True, False])
def test_stuck(batches: bool) -> None:
    # second  0 1 2 3 4 5 6 7 8      stuck after 4 s and 5 readings, so from second 4 on
    # value   7 7 7 7 7 7 7 8 8
    engine = Engine(stuck_after=4)
    engine.feed("t/0", *[("a", s, 7.0 if s < 7 else 8.0) for s in range(7)], batches=batches)
    assert engine.episodes("stuck") == [("a", 0, None, 5, 7.0)]
    engine.feed("t/0", ("a", 7, 8.0), ("a", 8, 8.0), batches=batches)
    assert engine.episodes("stuck") == [("a", 0, 6, 7, 7.0)]
    stuck = [(row["stuck"], row["is_anomaly"], row["flagged_by"]) for row in engine.tables.final("readings")]
    assert stuck == [(False, False, [])] * 4 + [(True, False, ["stuck"])] * 3 + [(False, False, [])] * 2


def test_few_readings_are_not_stuck() -> None:
    engine = Engine(stuck_after=4)
    engine.feed("t/0", ("a", 0, 7.0), ("a", 100, 7.0), ("a", 200, 7.0), ("a", 300, 7.0))
    assert engine.episodes("stuck") == []
    engine.feed("t/0", ("a", 400, 7.0))
    assert engine.episodes("stuck") == [("a", 0, None, 5, 7.0)]


@pytest.mark.parametrize("batches", [True, False])
def test_out_of_range(batches: bool) -> None:
    # second  0   1   2   3   4       limits 0 .. 10; 10 itself is within
    # value  10  11  -1   5  12
    registry = Registry(sensors={"a": SensorInfo(min_value=0, max_value=10)})
    engine = Engine(registry=registry)
    engine.feed("t/0", ("a", 0, 10.0), ("a", 1, 11.0), ("a", 2, -1.0), ("a", 3, 5.0), ("a", 4, 12.0), batches=batches)
    assert engine.episodes("out_of_range") == [("a", 1, 2, 2, 11.0), ("a", 4, None, 1, 12.0)]
    flags = [(row["out_of_range"], row["rule_anomaly"]) for row in engine.tables.final("readings")]
    assert flags == [(False, False), (True, True), (True, True), (False, False), (True, True)]


@pytest.mark.parametrize("batches", [True, False])
def test_an_episode_has_the_labels_of_the_reading_that_told_it(batches: bool) -> None:
    """The sensor is moved later: within the same batch or not must not matter."""
    engine = Engine()
    here, there = {"location": "here"}, {"location": "there"}
    engine.feed("t/0", ("a", 0, 1.0, here), ("a", 0, 2.0, here), ("a", 1, 1.0, there), batches=batches)
    assert [row["location"] for row in engine.tables.final("data_quality")] == ["here"]


def test_conflicts_are_episodes_of_one_reading() -> None:
    engine = Engine()
    engine.feed("t/0", ("a", 0, 1.0), ("a", 0, 2.0))
    assert engine.qualities() == ["ok", "conflict"]
    assert engine.episodes("conflict") == [("a", 0, 0, 1, 2.0)]


def test_checks_go_on_after_a_restart() -> None:
    registry = Registry(sensors={"a": SensorInfo(max_value=10)})
    engine = Engine(registry=registry, stuck_after=4)
    engine.feed("t/0", *[("a", s, 11.0) for s in range(5)])
    engine.restart()
    engine.feed("t/0", ("a", 4, 11.0), ("a", 5, 11.0), ("a", 6, 1.0))
    assert engine.episodes("stuck") == [("a", 0, 5, 6, 11.0)]
    assert engine.episodes("out_of_range") == [("a", 0, 5, 6, 11.0)]
    assert len(engine.qualities()) == 7, "the repeated one is dropped"
