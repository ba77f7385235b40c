"""The oracle itself, on cases small enough to do by hand, and against the executable specification."""

import random
import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.oracle import Reading, Window, expected, judge, starts

SPEC = Path(__file__).parent.parent.parent / "shared" / "event_time_spec.py"


def reading(offset: int, time_ms: int, value: float, **other: Any) -> Reading:
    labels = dict.fromkeys(("sensor_type", "location", "asset_id", "unit"), "")
    return {"sensor_id": "a", "topic": "t", "partition": 0, "idx": 0, **labels, **other} | {
        "offset": offset,
        "time_ms": time_ms,
        "value": value,
    }


def test_late_duplicate_and_conflict() -> None:
    rows = [
        reading(0, 100_000, 1.0),
        reading(1, 100_000, 1.0),  # again
        reading(2, 100_000, 2.0),  # another value
        reading(3, 100_000, 2.0),  # that value again
        reading(4, 89_999, 5.0),  # late by one millisecond
        reading(5, 89_999, 5.0),  # the late one again
        reading(6, 90_000, 5.0),  # just on time
        reading(7, 200_000, 1.0),  # watermark 190 s
        reading(8, 100_000, 1.0),  # beyond the horizon of 60 s: no longer recognised
        reading(9, 100_000, 1.0, sensor_id="b"),
    ]
    result = expected([rows], windows=[], lateness_ms=10_000, dedup_horizon_ms=60_000)
    assert [(row.verdict, row.conflict) for row in result.judged] == [
        ("on_time", False),
        ("duplicate", False),
        ("on_time", True),
        ("duplicate", False),
        ("late", False),
        ("duplicate", False),
        ("on_time", False),
        ("on_time", False),
        ("late", False),
        ("late", False),
    ]
    assert [row.watermark_ms for row in result.judged][-3:] == [190_000] * 3
    assert result.counts() == {"readings": 10, "on_time": 4, "late": 3, "duplicates": 3, "conflicts": 1}


def test_the_dedup_horizon_is_inclusive() -> None:
    rows = [reading(0, 130_000, 1.0), reading(1, 200_000, 1.0), reading(2, 130_000, 1.0), reading(3, 130_000, 1.0)]
    assert [row.verdict for row in judge(rows, lateness_ms=10_000, dedup_horizon_ms=60_000)][2] == "duplicate"
    assert [row.verdict for row in judge(rows, lateness_ms=10_000, dedup_horizon_ms=59_999)][2] == "late"


def test_aggregates_of_a_window_by_hand() -> None:
    window = Window("10s", 10_000, 10_000, ("location",))
    one = [reading(0, 3_000, 4.0, location="x"), reading(1, 1_000, 1.0, location="x", is_anomaly=True)]
    other = [reading(0, 3_000, 2.0, location="x", partition=1), reading(1, 25_000, 9.0, location="y", partition=1)]
    result = expected([one, other, []], windows=[window], lateness_ms=5_000, dedup_horizon_ms=0)
    first, second = result.windows
    assert first.key == ("10s", 0, ("x",))
    assert (first.count, first.min, first.max) == (3, 1.0, 4.0)
    assert first.mean == pytest.approx(7 / 3)
    assert first.stddev == pytest.approx(((16 + 1 + 4) / 3 - 49 / 9) ** 0.5)
    assert (first.first, first.last) == (1.0, 2.0), "the tie at 3 s goes to the larger partition"
    assert (first.p50, first.p95, first.anomaly_count) == (2.0, 2.0, 1)
    assert second.key == ("10s", 20_000, ("y",))
    assert result.closed == [], "partition 0 stands at 3 s - lateness"
    one.append(reading(2, 15_000, 1.0, location="x"))
    result = expected([one, other, []], windows=[window], lateness_ms=5_000, dedup_horizon_ms=0)
    assert [row.key for row in result.closed] == [("10s", 0, ("x",))]


def test_starts_of_sliding_windows() -> None:
    assert starts(65, Window("", 60, 30, ())) == [60, 30]
    assert starts(60, Window("", 60, 60, ())) == [60]
    assert starts(65, Window("", 50, 30, ())) == [60, 30], "a hop that does not divide the size"
    assert starts(85, Window("", 50, 30, ())) == [60]
    assert starts(-1, Window("", 60, 60, ())) == [-60]


def test_agrees_with_the_specification() -> None:
    if not SPEC.exists():
        pytest.skip("../shared/event_time_spec.py is not here")
    spec = runpy.run_path(str(SPEC))
    windows = [Window(f"{size}/{hop}", size, hop, ("topic",)) for size, hop in spec["WINDOWS"]]
    for seed in range(3):
        data = spec["readings"](random.Random(seed))
        partitions = [
            [reading(i, ts, value, partition=p) for i, (ts, value) in enumerate(rows)] for p, rows in enumerate(data)
        ]
        # Random values never repeat, so nothing is a duplicate; two at one time are conflicts, which count.
        result = expected(partitions, windows=windows, lateness_ms=spec["LATENESS_S"], dedup_horizon_ms=10**9)
        wanted, late = spec["oracle"](data)
        assert result.counts()["late"] == late
        assert len(result.windows) == len(wanted)
        for row in result.windows:
            size, hop = map(int, row.window.split("/"))
            values = wanted[size, hop, row.start_ms]
            assert (row.count, row.min, row.max) == (len(values), values[0], values[-1])
            assert row.mean == pytest.approx(sum(values) / len(values))
