"""Alerts on single sensors: when they open, when they end, what they say. Times are seconds.

value  1 9 1 9 9 9 5 1 1 1 1 1
fires  - # - # # #                  above 8
stays  - # - # # # # - - -          until below 4
"""

import json
from typing import Any

import pytest

from flows.settings import Alert, Detector
from flows.settings_alerts import AlertMatch
from operators.alert_rows import alert_id
from operators.registry import Registry, SensorInfo
from tests.operators.engine import T0_MS, Engine, Row, alert, tumbling


def engine(*alerts: Alert, **more: Any) -> Engine:
    return Engine(windows=[tumbling("w", 10)], alerts=alerts, **more)


def values(*numbers: float, sensor: str = "a", start: int = 0, step: int = 1) -> list[Row]:
    """One reading after the other."""
    return [(sensor, start + step * place, number) for place, number in enumerate(numbers)]


def test_it_lasts_from_the_first_reading_that_fires_to_the_first_that_does_not() -> None:
    one = engine(alert("high", "value", above=8))
    one.feed("t/0", *values(1, 9, 9))
    assert one.alerts("state", "updated_at") == [("high", "a", 1, None, "open", T0_MS + 1_000)], "told at once"
    one.feed("t/0", *values(5, 9, 1, start=3))
    assert one.alerts("state") == [("high", "a", 1, 3, "resolved"), ("high", "a", 4, 5, "resolved")]


def test_a_level_at_which_it_is_over_spares_alerts() -> None:
    one = engine(alert("high", "value", above=8, clear=4), alert("low", "value", below=2, clear=6))
    one.feed("t/0", *values(7, 8, 5, 4, 3.9, 7, 2, 6, 6.1))
    assert one.alerts() == [("high", "a", 1, 4), ("low", "a", 6, 8)]


def test_for_waits_and_any_calm_reading_begins_anew() -> None:
    one = engine(alert("high", "value", above=8, lasts=3))
    one.feed("t/0", *values(9, 9, 9, 1, 9, 9, 9), batches=True)
    assert one.alerts() == []
    one.feed("t/0", *values(9, 9, start=7))
    assert one.alerts("fired_at") == [("high", "a", 4, None, T0_MS + 7_000)]


def test_a_flapping_sensor_gives_one_alert_not_a_hundred() -> None:
    flapping = [9.0 if second % 2 else 1.0 for second in range(200)]
    hundred, one = engine(alert("high", "value", above=8)), engine(alert("high", "value", above=8, keep=5))
    for some in (hundred, one):
        some.feed("t/0", *values(*flapping), *values(*[1.0] * 10, start=200))
    assert len(hundred.alerts()) == 100
    assert one.alerts() == [("high", "a", 1, 200)]


def test_no_other_one_begins_during_the_cool_down() -> None:
    one = engine(alert("high", "value", above=8, cool=4))
    one.feed("t/0", *values(9, 1, 9, 1, 9, 9, 9, 1))
    assert one.alerts() == [("high", "a", 0, 1), ("high", "a", 5, 7)]


def test_readings_late_or_out_of_order_move_nothing_on() -> None:
    one = engine(alert("high", "value", above=8), lateness_s=5)
    one.feed("t/0", *values(1, 1, start=10), ("a", 9.5, 9.0), ("a", 2, 9.0), ("a", 11, 9.0))
    assert one.qualities()[2:] == ["out_of_order", "late", "conflict"]
    assert one.alerts() == []


def test_it_is_about_sensors_that_match() -> None:
    one = engine(alert("high", "value", above=8, match=AlertMatch(location="hall-*", sensor_type="temperature")))
    hall = {"location": "hall-2", "sensor_type": "temperature"}
    one.feed(
        "t/0", ("a", 0, 9.0, hall), ("b", 0, 9.0, hall | {"location": "roof"}), ("c", 0, 9.0, {"location": "hall-1"})
    )
    assert one.alerts() == [("high", "a", 0, None)]
    one.feed("t/0", ("a", 1, 9.0, hall | {"location": "roof"}))
    assert one.alerts() == [("high", "a", 0, 1)], "it has moved away"


DETECTORS = (
    Detector(name="z", kind="models.rolling_z.RollingZ", role="rule", threshold=3.0, params={"min_samples": 5}),
    Detector(name="level", kind="models.deviation.Deviation"),
)


def test_on_verdicts_and_detectors() -> None:
    rules = (
        alert("flagged", "detector:z", keep=1),
        alert("raw", "detector:z", above=3, keep=1),
        alert("unusual", "detector:level", above=1.5, keep=1),
        alert("stuck", "stuck"),
        alert("score", "score", above=0.5),
    )
    one = engine(*rules, detectors=DETECTORS, stuck_after=30)
    steady = [float(second % 3) for second in range(200)]
    one.feed("t/0", *values(*steady, 50.0, *steady[:20]), *values(*[7.0] * 50, start=300))
    found = {(rule, start) for rule, _, start, _ in one.alerts()}
    assert {("flagged", 200), ("raw", 200), ("unusual", 200)} <= found
    assert [row[2:] for row in one.alerts() if row[0] == "stuck"] == [(330, None)]
    assert ("score", 200) in found


def test_what_is_behind_it() -> None:
    rule = alert("odd", "detector:z", keep=3, severity="critical", inhibits=("other",))
    one = engine(rule, alert("other", "silent"), detectors=DETECTORS)
    steady = [float(second % 3) for second in range(100)]
    labels = {"sensor_type": "temperature", "unit": "°C", "label": "spike"}
    rows = [(*row, {"unit": "°C"}) for row in values(*steady)]
    one.feed("t/0", *rows, ("a", 100, 50.0, labels), *values(1.0, 400.0, start=101), batches=True)
    (open_,) = one.tables.final("alerts")
    first = json.loads(open_["evidence"])["first"]
    assert (first["time"], first["value"], first["label"]) == (T0_MS + 100_000, 50.0, "spike")
    assert first["flagged_by"][0] == "z"
    assert first["scores"]["z"] > 3
    assert first["features"]["delta"] == 50.0 - steady[99]
    assert first["surprises"].keys() == {"z", "level"}
    assert (open_["severity"], open_["inhibits"], open_["sensor_type"]) == ("critical", ["other"], "temperature")
    assert open_["reason"].startswith("a: z flags it since 2023-11-14T22:15:40Z, value 50 °C")
    one.feed("t/0", *values(*steady[:10], start=110))
    (over,) = one.tables.final("alerts")
    evidence = json.loads(over["evidence"])
    assert evidence["first"] == first
    assert evidence["peak"]["value"] == 400.0
    assert over["reason"].endswith("; over after 10 s")
    assert over["alert_id"] == open_["alert_id"] == alert_id("odd", ("a", "t/0"), T0_MS + 100_000)


EVERY_SECOND = Registry(sensors={"a": SensorInfo(interval_ms=1000)})


def test_silence_counts_from_the_last_reading_and_ends_with_the_next() -> None:
    #  a . . . . . (4)                       (31)     silent: after 3 intervals, and for 8 s
    one = engine(alert("silent", "silent", lasts=8), registry=EVERY_SECOND)
    one.feed("t/0", *values(1, 1, 1, 1, 1), ("b", 11, 0.0), batches=True)
    assert one.alerts() == [], "silent, but not for long enough"
    one.feed("t/0", ("b", 22, 0.0))
    assert one.alerts("fired_at", "state") == [("silent", "a", 4, None, T0_MS + 12_000, "open")]
    one.feed("t/0", ("b", 30, 0.0), ("a", 31, 1.0), ("b", 35, 0.0))
    assert one.alerts("state") == [("silent", "a", 4, 31, "resolved")]


def test_a_sensor_that_speaks_under_other_labels_is_not_silent() -> None:
    one = engine(alert("silent", "silent"), registry=EVERY_SECOND)
    one.feed("t/0", *values(1, 1, 1))
    moved = [(*row, {"location": "y"}) for row in values(*[1.0] * 30, start=3)]
    one.feed("t/0", *moved)
    assert one.alerts() == []
    assert one.episodes("gap") == [("a", 2, None, 0, None)], "its old series is"
    one.feed("t/0", ("b", 60, 0.0), ("a", 61, 1.0), ("b", 70, 0.0))
    assert one.alerts() == [("silent", "a", 32, 61), ("silent", "a", 61, None)]


def test_a_restart_changes_nothing() -> None:
    rules = (alert("high", "value", above=8, lasts=2, keep=3, cool=5), alert("silent", "silent", lasts=2))
    readings = [
        *values(*[9.0 if second % 11 < 6 else 1.0 for second in range(60)]),
        *values(1, 9, sensor="b", start=60, step=25),
        *values(*[9.0] * 5, start=100),
    ]
    whole, broken = (engine(*rules, registry=EVERY_SECOND) for _ in range(2))
    whole.feed("t/0", *readings)
    for row in readings:
        broken.feed("t/0", row)
        broken.restart()
    assert len(whole.alerts()) > 2
    assert repr(broken.tables.final("alerts")) == repr(whole.tables.final("alerts"))


def test_the_state_of_a_program_without_alerts_is_gone_on_from() -> None:
    one = engine(alert("high", "value", above=8))
    one.feed("t/0", *values(1, 1))
    shard, window = one.state("shard", "t/0/0"), one.state("window", "0")
    fresh = engine(alert("high", "value", above=8))
    fresh.state("shard", "t/0/0").load((*shard.snapshot()[:-1], None))
    fresh.state("window", "0").load((*window.snapshot()[:-1], None))
    fresh.feed("t/0", *values(9, start=5))
    assert fresh.alerts() == [("high", "a", 5, None)]


def test_what_is_open_ends_with_its_rule() -> None:
    one = engine(alert("high", "value", above=8), alert("kept", "value", above=8))
    one.feed("t/0", *values(1, 9, 9))
    one.restart(alerts=(alert("kept", "value", above=8), alert("new", "value", above=8)))
    one.feed("t/0", *values(9, 1, start=3))
    assert [row for row in one.alerts() if row[0] != "high"] == [("kept", "a", 1, 4), ("new", "a", 3, 4)]
    (gone,) = [row for row in one.tables.final("alerts") if row["rule"] == "high"]
    assert (gone["state"], gone["ended_at"]) == ("resolved", T0_MS + 2_000)
    assert gone["reason"].endswith("no longer looked at after 1 s")


def test_what_is_open_ends_when_its_sensor_is_forgotten() -> None:
    one = engine(alert("high", "value", above=8), evict_after=600, forget_after=60, dedup_horizon=60)
    one.feed("t/0", *values(9, 9), *values(*[1.0] * 260, sensor="b", start=10, step=5))
    ((rule, sensor, start, end),) = one.alerts()
    assert (rule, sensor, start) == ("high", "a", 0)
    assert end is not None
    assert end >= 600
    one.feed("t/0", ("a", 1310, 9.0))
    assert one.alerts()[-1] == ("high", "a", 1310, None), "it is back"


@pytest.mark.parametrize("batches", [False, True])
def test_alerts_of_an_hour_with_many_sensors_do_not_depend_on_batches(batches: bool) -> None:
    one = engine(alert("high", "value", above=8, lasts=1, keep=2))
    rows = [(f"s{n}", second, float((second + n * 3) % 13)) for second in range(60) for n in range(9)]
    one.feed("t/0", *rows, batches=batches)
    assert len(one.alerts()) == len({tuple(row) for row in one.alerts()}) > 9
    if not batches:
        other = engine(alert("high", "value", above=8, lasts=1, keep=2), shards=3)
        other.feed("t/0", *rows)
        assert repr(one.tables.final("alerts")) == repr(other.tables.final("alerts"))
