"""Alerts on windows, assets and groups of sensors. Times are seconds."""

import json
from typing import Any

import numpy as np

from flows.settings import Alert, Assets, Duration
from operators.registry import Registry, SensorInfo
from tests.operators.engine import T0_MS, Engine, Row, alert, tumbling

PLACE: dict[str, Any] = {"group_by": "location", "min_sensors": 3, "min_share": 0.5}


def engine(*alerts: Alert, sources: tuple[str, ...] = ("t/0",), **more: Any) -> Engine:
    return Engine(*sources, windows=[tumbling("w", 10)], alerts=alerts, **more)


def second(at: float, number: float, *sensors: str, place: str = "x") -> list[Row]:
    """The same value of some sensors at one time."""
    return [(sensor, at, number, {"location": place}) for sensor in sensors]


FOUR = ("a", "b", "c", "d")


def test_a_location_wide_fault_gives_one_alert_that_inhibits_those_of_its_sensors() -> None:
    rules = (
        alert("high", "value", above=8),
        alert("many high", "value", above=8, severity="critical", inhibits=("high",), **PLACE),
    )
    one = engine(*rules)
    one.feed("t/0", *second(0, 1, *FOUR), *second(0, 1, "e", "f", "g", place="y"))
    one.feed(
        "t/0",
        *second(20, 9, "a"),
        *second(20, 9, "e", place="y"),
        *second(21, 9, "b"),
        *second(22, 9, "c"),
        *second(40, 9, *FOUR),
    )
    group = [row for row in one.alerts("sensors", "severity", "inhibits") if row[0] == "many high"]
    assert group == [("many high", "x", 22, None, 3, "critical", ["high"])]
    one.feed("t/0", *second(50, 1, "a", "b"), *second(52, 1, *FOUR), *second(90, 1, *FOUR))
    (row,) = [row for row in one.tables.final("alerts") if row["rule"] == "many high"]
    assert (row["ended_at"] - T0_MS, row["sensors"], row["sensor_id"]) == (50_000, 4, "")
    assert row["reason"] == (
        "location x: 4 of 4 sensors with value above 8 since 2023-11-14T22:14:22Z; over after 28 s"
    )
    evidence = json.loads(row["evidence"])
    assert (evidence["known"], evidence["most"]) == (4, 4)
    assert [(one["sensor_id"], (one["since"] - T0_MS) / 1000, one["value"]) for one in evidence["sensors"]] == [
        ("a", 20, 9.0),
        ("b", 21, 9.0),
        ("c", 22, 9.0),
        ("d", 40, 9.0),
    ]


def test_a_share_of_those_known_there_counts() -> None:
    one = engine(alert("many high", "value", above=8, **PLACE))
    seven = tuple("abcdefg")
    one.feed("t/0", *second(0, 1, *seven), *second(20, 9, "a", "b", "c"), *second(40, 9, "a", "b", "c"))
    assert one.alerts() == [], "three of seven"
    one.feed("t/0", *second(41, 9, "d"), *second(60, 9, *seven), *second(80, 9, *seven))
    assert one.alerts() == [("many high", "x", 41, None)]


def test_sensors_count_for_as_long_as_they_keep_firing_and_the_group_for_its_own_for() -> None:
    one = engine(alert("many high", "value", above=8, keep=10, lasts=5, cool=30, **PLACE))
    one.feed("t/0", *second(0, 1, *FOUR))
    for at, sensor in ((20, "a"), (23, "b"), (26, "c")):
        one.feed("t/0", *second(at, 9, sensor), *second(at + 1, 1, sensor))
    # a is calm from 21 on, and counts until a reading 10 s later says so; three of them are in alarm from 26 on
    one.feed("t/0", *second(30, 1, *FOUR), *second(32, 1, *FOUR), *second(60, 1, *FOUR))
    assert one.alerts("fired_at") == [("many high", "x", 26, 32, T0_MS + 31_000)]
    one.feed("t/0", *second(61, 9, *FOUR), *second(61.5, 1, *FOUR), *second(90, 9, *FOUR), *second(120, 9, *FOUR))
    assert one.alerts()[1:] == [("many high", "x", 62, None)], "when the cool-down ends; they still count"


def test_what_lies_across_partitions_is_judged_by_the_slowest() -> None:
    one = engine(alert("many high", "value", above=8, **PLACE), sources=("t/0", "t/1"))
    one.feed("t/0", *second(0, 1, "a", "b"), *second(20, 9, "a", "b"), *second(60, 9, "a", "b"))
    one.feed("t/1", *second(0, 1, "c", "d"))
    assert one.alerts() == []
    one.feed("t/1", *second(15, 9, "c"), *second(30, 1, "c"))
    assert one.alerts() == [("many high", "x", 20, None)]
    one.feed("t/1", *second(60, 1, "c"))
    assert one.alerts() == [("many high", "x", 20, 30)]


def test_silence_of_a_whole_location() -> None:
    known = Registry(sensors={sensor: SensorInfo(interval_ms=1000) for sensor in (*FOUR, "z")})
    one = engine(alert("silence", "silent", lasts=5, **PLACE), registry=known)
    for at in range(6):
        one.feed("t/0", *second(at, 1, *FOUR), *second(at, 1, "z", place="y"))
    one.feed("t/0", *second(30, 1, "z", place="y"), *second(50, 1, "z", place="y"))
    # silent from 8.001 on, known at the end of that pane, for 5 s
    assert one.alerts("fired_at", "sensors") == [("silence", "x", 10, None, T0_MS + 15_000, 4)]
    one.feed("t/0", *second(51, 1, *FOUR), *second(70, 1, "z", place="y"))
    assert one.alerts()[:1] == [("silence", "x", 10, 51)]


def test_windows() -> None:
    rules = (
        alert("full", "window:w.max", above=8, clear=5, lasts=20, keep=20),
        alert("empty", "window:w.count", below=1),
        alert("wide", "window:w.range", above=3),
    )
    one = engine(*rules, aggregates=("operators.aggregates.Range",))
    maxima = (1, 9, 6, 9, 1, 9, 1, 1, 1, 1)
    rows = [("a", 10 * place + at, number - at / 10) for place, number in enumerate(maxima) for at in (0, 5)]
    for reading in rows:
        one.feed("t/0", reading)
        one.restart(aggregates=("operators.aggregates.Range",))
    one.feed("t/0", ("a", 120, 1.0), ("a", 125, 5.0), ("a", 150, 1.0))
    #   window at   0  10  20  30  40  50  60  70 .. 100 110 120
    #   max         1   9   6   9   1   9   1   1      -   -   5
    assert one.alerts("fired_at")[:3] == [
        ("full", "x", 10, 60, T0_MS + 30_000),
        ("empty", "x", 100, 120, T0_MS + 110_000),
        ("wide", "x", 120, 130, T0_MS + 130_000),
    ]
    (row,) = [row for row in one.tables.final("alerts") if row["rule"] == "full"]
    assert row["reason"] == "x: max of window w above 8 (9) since 2023-11-14T22:14:10Z; over after 50 s"
    assert json.loads(row["evidence"])["first"]["count"] == 2


def test_assets() -> None:
    assets = Assets(tick=Duration(1000), warm_up=60)
    one = engine(alert("asset", "asset", keep=5, inhibits=()), assets=assets)
    random = np.random.default_rng(1)
    for at in range(200):
        strange = 20.0 if 150 <= at < 170 else 0.0
        rows = [
            (sensor, at, random.normal() + strange * (sensor == "p"), {"asset_id": "press"})
            for sensor in ("p", "q", "r")
        ]
        one.feed("t/0", *rows)
    (row,) = [row for row in one.tables.final("alerts") if row["started_at"] >= T0_MS + 145_000]
    assert 150 <= (row["started_at"] - T0_MS) / 1000 < 155
    assert row["asset_id"] == "press"
    assert row["reason"].startswith("asset press: in alarm")
    assert "most by p" in row["reason"]
    assert row["peak_score"] >= assets.threshold


def test_a_restart_changes_nothing() -> None:
    rules = (
        alert("many high", "value", above=8, keep=3, lasts=2, cool=5, **PLACE),
        alert("full", "window:w.max", above=8, keep=20),
    )
    random = np.random.default_rng(2)
    rows = [
        row
        for at in range(0, 300, 2)
        for row in second(at, 9.0 if random.random() < 0.5 else 1.0, *FOUR[: random.integers(1, 5)])
    ]
    whole, broken = engine(*rules), engine(*rules)
    whole.feed("t/0", *rows)
    for begin in range(0, len(rows), 7):
        broken.feed("t/0", *rows[begin : begin + 7])
        broken.restart()
    assert len(whole.alerts()) > 3
    assert repr(broken.tables.final("alerts")) == repr(whole.tables.final("alerts"))
