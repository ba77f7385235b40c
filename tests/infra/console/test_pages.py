"""The pages Live, Windows and Health: every table equals what plain Python makes of the same rows."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from statistics import fmean, linear_regression, pstdev
from typing import Any

import pytest

from infra.console.pages import DATASETS
from infra.console.reader import MAX_ROWS
from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.http.answers import Problem
from tests.infra.clickhouse_support import database
from tests.infra.console.rows_support import (
    BEGIN_MS,
    END_MS,
    SENSORS,
    STEP_MS,
    Pages,
    Row,
    insert,
    pages,
    readings,
    utc,
    windows,
)

MINUTE_MS = 60_000
QUALITIES = ("ok", "ok", "ok", "late", "conflict", "out_of_order", "after_idle")


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return [row | {"quality": QUALITIES[n % len(QUALITIES)]} for n, row in enumerate(readings(seed=11))]


@pytest.fixture(scope="module")
def letters() -> list[Row]:
    return [
        {
            "topic": "t",
            "partition": n % 2,
            "offset": n,
            "kafka_time": utc(BEGIN_MS + n * 7_000),
            "reason": ("bad_json", "wrong_type")[n % 3 == 0],
            "detail": f"what was wrong, {n}",
            "payload": f"=payload {n} ".ljust(20 + 90 * n, "x"),
            "payload_bytes": 20 + 90 * n,
        }
        for n in range(60)
    ]


@pytest.fixture(scope="module")
def page(clickhouse: EmbeddedClickHouse, rows: list[Row], letters: list[Row]) -> Iterator[Pages]:
    with database(clickhouse.port) as (address, client), pages(address) as found:
        insert(client, "readings", rows)
        insert(client, "windows", [*windows(rows, by_sensor=False), *windows(rows, by_sensor=True), *sliding(rows)])
        insert(client, "dead_letters", letters)
        insert(client, "ledger", ledger())
        insert(client, "data_quality", [*episodes()])
        insert(client, "events", [event(n, kind) for n, kind in enumerate(("restart", "drift", "degraded"))])
        yield found


def sliding(rows: Sequence[Row]) -> list[Row]:
    """Of five minutes, every 30 seconds, by location and type."""
    found: list[Row] = []
    for begin_ms in range(BEGIN_MS - 270_000, END_MS, 30_000):
        inside = [row for row in rows if begin_ms <= row["time"] < begin_ms + 300_000]
        for made in windows(inside, by_sensor=False, size_ms=10**15):
            found.append(
                made
                | {"window": "5m/30s", "start": begin_ms, "end": begin_ms + 300_000}
                | {"size_ms": 300_000, "hop_ms": 30_000, "complete": begin_ms >= BEGIN_MS}
            )
    return found


def ledger() -> list[Row]:
    counts: dict[str, Any] = {"messages": 0, "readings": 0, "rejected": 0, "on_time": 0, "late": 0, "duplicates": 0}
    source = counts | {"stage": "source", "messages": 90, "readings": 100, "rejected": 4}
    shard = counts | {"stage": "shard 0", "on_time": 80, "late": 9, "duplicates": 3}
    return [
        one | {"topic": "t", "partition": partition, "bucket": bucket, "version": 1}
        for partition in (0, 1)
        for bucket in (0, 100_000)
        for one in (source, shard)
    ]


def episodes() -> Iterator[Row]:
    for n, sensor in enumerate(SENSORS):
        kind, place = SENSORS[sensor]
        yield {
            "sensor_id": sensor,
            "kind": ("silent", "gap")[n % 2],
            "start": BEGIN_MS + n * MINUTE_MS,
            "end": None if n == 2 else BEGIN_MS + (n + 1) * MINUTE_MS,
            "topic": "t",
            "sensor_type": kind,
            "location": place,
            "readings": n,
            "version": n,
        }


def event(minute: int, kind: str) -> Row:
    return {"time": BEGIN_MS + minute * MINUTE_MS, "kind": kind, "subject": "t/0", "detail": "in words"}


def flagged(rows: Sequence[Row]) -> int:
    return sum(row["is_anomaly"] for row in rows)


def of(rows: Sequence[Row], **wanted: Any) -> list[Row]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def test_sensors_with_the_most_anomalies_come_first(page: Pages, rows: list[Row]) -> None:
    found = list(page.ask("live", "sensors").rows())
    assert [one["sensor_id"] for one in found] == sorted(
        SENSORS, key=lambda sensor: (-flagged(of(rows, sensor_id=sensor)), sensor)
    )
    for one in found:
        its = of(rows, sensor_id=one["sensor_id"])
        assert one["anomalies"] == flagged(its)
        assert one["value"] == its[-1]["value"]
        assert (one["last"], one["readings"]) == (its[-1]["time"], len(its))
        assert (one["sensor_type"], one["location"]) == SENSORS[one["sensor_id"]]


@pytest.mark.parametrize("sensors", [["heat-hall-1"], []])
def test_a_chart_holds_means_band_and_anomalies(page: Pages, rows: list[Row], sensors: list[str]) -> None:
    found = page.ask("live", "chart", sensor=sensors)
    bucket = found.about["bucket_ms"]
    assert {one["sensor_id"] for one in found.about["sensors"]} == set(sensors or SENSORS)
    expected: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in rows:
        if row["sensor_id"] in (sensors or SENSORS):
            expected[row["sensor_id"], row["time"] // bucket * bucket].append(row)
    assert len(found) == len(expected)
    for one in found.rows():
        some = expected[one["sensor_id"], one["at"]]
        assert one["value"] == pytest.approx(fmean(row["value"] for row in some))
        assert (one["low"], one["high"]) == (min(r["value"] for r in some), max(r["value"] for r in some))
        assert (one["expected"], one["expected_low"], one["expected_high"]) == (20.0, 18.0, 22.0)
        strangest = max((r for r in some if r["is_anomaly"]), key=lambda r: abs(r["value"] - 20), default=None)
        assert one["anomalies"] == flagged(some)
        assert one["strangest"] == (strangest and strangest["value"])


def test_a_long_chart_is_made_of_windows(page: Pages, rows: list[Row]) -> None:
    found = page.ask("live", "chart", sensor="power-hall-1", from_=BEGIN_MS - 7 * 86_400_000)
    assert found.about["source"] == "windows"
    its = of(rows, sensor_id="power-hall-1")
    assert sum(found.columns["anomalies"]) == flagged(its)
    assert min(found.columns["low"]) == min(row["value"] for row in its)
    bucket = found.about["bucket_ms"]
    for one in found.rows():
        some = [row["value"] for row in its if row["time"] // bucket * bucket == one["at"]]
        assert one["value"] == pytest.approx(fmean(some))


@pytest.mark.parametrize("from_ms", [BEGIN_MS, BEGIN_MS - 7 * 86_400_000])
def test_anomalies_are_listed_once_a_sensor_and_minute_newest_first(page: Pages, rows: list[Row], from_ms: int) -> None:
    newest: dict[tuple[str, int], Row] = {}
    for row in rows:
        if row["is_anomaly"] and row["location"] == "roof":
            newest[row["sensor_id"], row["time"] // MINUTE_MS] = row
    expected = sorted((row["time"] for row in newest.values()), reverse=True)[:50]
    assert page.ask("live", "anomalies", location="roof", from_=from_ms).columns["time"] == expected


def test_the_pulse_counts_the_last_five_minutes(page: Pages, rows: list[Row]) -> None:
    found = page.ask("live", "pulse", type="power")
    last = [row for row in rows if row["time"] >= END_MS - 300_000 and row["sensor_type"] == "power"]
    buckets = Counter(row["time"] // 5_000 * 5_000 for row in last)
    assert dict(zip(found.columns["time"], found.columns["readings"], strict=True)) == {
        at: pytest.approx(2 * count / 5)
        for at, count in buckets.items()  # twice: parts are not merged yet
    }
    assert set(found.columns["sensors"]) <= {1, 2}


def group_of(**named: str) -> str:
    return "\x1f".join(named.get(n, "") for n in ("sensor_type", "location", "asset_id", "unit", "sensor_id", "topic"))


def test_groups_of_a_window_and_their_trends(page: Pages, rows: list[Row]) -> None:
    found = list(page.ask("windows", "groups", window="1m").rows())
    assert [one["anomaly_count"] for one in found] == sorted((o["anomaly_count"] for o in found), reverse=True)
    assert {(one["sensor_type"], one["location"]) for one in found} == set(SENSORS.values())
    for one in found:
        some = of(rows, sensor_type=one["sensor_type"], location=one["location"])
        mine = sorted(windows(some, by_sensor=False), key=lambda w: w["start"])
        assert one["count"] == len(some)
        assert one["anomaly_count"] == flagged(some)
        assert one["mean"] == pytest.approx(mine[-1]["mean"])
        line = linear_regression([w["start"] / 3_600_000 for w in mine], [w["mean"] for w in mine])
        assert one["trend"] == pytest.approx(line.slope, rel=1e-3)
        expected = sum(w["expected_count"] for w in mine)
        assert one["completeness"] == pytest.approx(min(1, len(some) / expected))
    by_sensor = page.ask("windows", "groups", sensor="heat-roof-1")
    assert (by_sensor.about["window"], by_sensor.columns["sensor_id"]) == ("1m by sensor", ["heat-roof-1"])


def test_the_course_of_a_group_window_by_window(page: Pages, rows: list[Row]) -> None:
    found = page.ask("windows", "course", window="1m", group=group_of(sensor_type="heat", location="hall"))
    mine = sorted(windows(of(rows, sensor_type="heat", location="hall"), by_sensor=False), key=lambda w: w["start"])
    assert not found.about["merged"]
    assert found.about["unit"] == "C"
    assert found.columns["at"] == [one["start"] for one in mine]
    for name in ("mean", "min", "max", "stddev", "count", "anomaly_count", "expected_count"):
        assert found.columns[name] == pytest.approx([one[name] for one in mine]), name
    assert set(found.columns["complete"]) == {True}
    worst = page.ask("windows", "course", window="1m").about["group"]
    assert (
        worst
        == max(
            (["heat", "hall"], ["heat", "roof"], ["power", "hall"], ["power", "roof"]),
            key=lambda g: flagged(of(rows, sensor_type=g[0], location=g[1])),
        )
        + [""] * 4
    )


def test_many_windows_are_merged_as_if_they_were_one(page: Pages, rows: list[Row]) -> None:
    week = BEGIN_MS - 7 * 86_400_000
    found = page.ask("windows", "course", window="1m", group=group_of(sensor_type="heat", location="hall"), from_=week)
    assert found.about["merged"]
    bucket = found.about["bucket_ms"]
    assert len(found) == math.ceil((END_MS - BEGIN_MS) / bucket)
    for one in found.rows():
        values = [
            row["value"]
            for row in of(rows, sensor_type="heat", location="hall")
            if row["time"] // bucket * bucket == one["at"]
        ]
        assert (one["count"], one["min"], one["max"]) == (len(values), min(values), max(values))
        assert one["mean"] == pytest.approx(fmean(values))
        assert one["stddev"] == pytest.approx(pstdev(values), rel=1e-6)


def test_sliding_windows_are_thinned_and_never_added_up(page: Pages, rows: list[Row]) -> None:
    mine = [w for w in sliding(rows) if (w["sensor_type"], w["location"]) == ("heat", "hall")]
    for from_ms in (BEGIN_MS - 3_600_000, BEGIN_MS - 7 * 86_400_000):
        group = group_of(sensor_type="heat", location="hall")
        found = page.ask("windows", "course", window="5m/30s", group=group, from_=from_ms)
        bucket = found.about["bucket_ms"]
        shown = sorted((w for w in mine if w["start"] % bucket == 0), key=lambda w: w["start"])
        assert found.columns["at"] == [w["start"] for w in shown]
        assert found.columns["count"] == [w["count"] for w in shown]
        assert found.columns["complete"] == [w["complete"] for w in shown]


def test_intake_doubtful_and_rejected_over_time(page: Pages, rows: list[Row], letters: list[Row]) -> None:
    intake = page.ask("health", "intake", location="hall")
    seconds = intake.about["bucket_ms"] / 1_000
    assert sum(intake.columns["readings"]) * seconds == pytest.approx(len(of(rows, location="hall")))
    doubtful: Counter[str] = Counter()
    for one in page.ask("health", "doubtful").rows():
        doubtful[one["reason"]] += one["readings"]
    assert doubtful == Counter(row["quality"] for row in rows if row["quality"] != "ok")
    rejected = page.ask("health", "rejected")
    assert sum(rejected.columns["payloads"]) == len(letters)
    assert set(rejected.columns["reason"]) == {"bad_json", "wrong_type"}


def test_refused_payloads_newest_first_and_cut(page: Pages, letters: list[Row]) -> None:
    found = list(page.ask("health", "letters").rows())
    assert [one["offset"] for one in found] == [one["offset"] for one in letters[::-1]][:50]
    for one in found:
        full = letters[one["offset"]]
        assert (one["payload"], one["payload_bytes"]) == (full["payload"][:4_000], full["payload_bytes"])
    assert set(page.ask("health", "letters", reason="bad_json").columns["reason"]) == {"bad_json"}


def test_ledger_episodes_events_and_tables(page: Pages) -> None:
    for one in page.ask("health", "ledger").rows():
        assert one["topic"] == "t"
        assert (one["messages"], one["readings"], one["on_time"]) == (180, 200, 160)
        assert one["in_flight"] == 200 - 160 - 18 - 6 - 8
    quality = list(page.ask("health", "quality").rows())
    assert [one["sensor_id"] for one in quality] == [list(SENSORS)[n] for n in (2, 4, 3, 1, 0)]
    assert quality[0]["end"] is None
    assert page.ask("health", "events").columns["kind"] == ["degraded", "restart"]
    assert {"readings", "windows"} <= set(page.ask("health", "storage").columns["table"])
    assert page.ask("health", "workers").about["known"] == 0


def test_what_can_be_chosen(page: Pages) -> None:
    places = page.ask("options", "places", from_=BEGIN_MS)
    assert [(one["location"], one["sensor_type"]) for one in places.rows()] == sorted(
        {(place, kind) for kind, place in SENSORS.values()}
    )
    assert page.ask("options", "sensors", search="HALL-2").columns["sensor_id"] == ["heat-hall-2"]
    found = {one["window"]: (one["size_ms"], one["hop_ms"], one["by"]) for one in page.ask("options", "windows").rows()}
    assert found == {
        "1m": (60_000, 60_000, ["location", "sensor_type"]),
        "1m by sensor": (60_000, 60_000, ["sensor_id"]),
        "5m/30s": (300_000, 30_000, ["location", "sensor_type"]),
    }


@pytest.mark.parametrize(
    ("from_ms", "chosen"),
    [
        (END_MS - 60_000, {}),
        (BEGIN_MS, {"sensor": "heat-hall-1"}),
        (BEGIN_MS - 30 * 86_400_000, {"location": "hall", "type": "heat"}),
        (BEGIN_MS, {"sensor": "'"}),
    ],
)
def test_every_dataset_answers_whatever_is_chosen_and_is_never_too_long(
    page: Pages, from_ms: int, chosen: dict[str, Any]
) -> None:
    for name, datasets in DATASETS.items():
        for dataset in datasets.values():
            more = {"sensor": "heat-hall-1"} | chosen if dataset.name in NEEDING else chosen
            with suppress(Problem):  # of a reading or an alert that is not there
                found = page.ask(name, dataset.name, from_=from_ms, time=BEGIN_MS + STEP_MS, id="none", **more)
                assert len(found) <= MAX_ROWS, (name, dataset.name)
                assert found.csv().count(b"\n") >= len(found) + 1


NEEDING = {name for name in DATASETS["detection"] if name.startswith("reading")}
