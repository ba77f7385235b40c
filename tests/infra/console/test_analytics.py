"""The page Analytics: every table equals what plain Python makes of the same windows."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pytest

from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.http.answers import Problem
from tests.infra.clickhouse_support import database
from tests.infra.console.rows_support import BEGIN_MS, SENSORS, Pages, Row, insert, pages, readings, windows


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return readings()


@pytest.fixture(scope="module")
def page(clickhouse: EmbeddedClickHouse, rows: list[Row]) -> Iterator[Pages]:
    with database(clickhouse.port) as (address, client), pages(address) as found:
        insert(client, "readings", rows)
        longer = [row | {"window": "5m"} for row in windows(rows, by_sensor=False, size_ms=300_000)]
        sliding = [row | {"window": "slides", "hop_ms": 10_000} for row in windows(rows, by_sensor=False)]
        insert(client, "windows", [*windows(rows, by_sensor=False), *longer, *sliding])
        insert(client, "windows", windows(rows, by_sensor=True))
        quality = [bad("heat-hall-1", "gap", 1), bad("heat-hall-1", "stuck", 2), bad("power-roof-1", "gap", 3)]
        insert(client, "data_quality", quality)
        yield found


def bad(sensor: str, kind: str, minute: int) -> Row:
    what, place = SENSORS[sensor]
    start = BEGIN_MS + minute * 60_000
    return {"sensor_id": sensor, "kind": kind, "start": start, "end": None, "sensor_type": what, "location": place}


def test_statistics_by_location_and_type(page: Pages, rows: list[Row]) -> None:
    found = list(page.ask("analytics", "places").rows())
    assert [(row["location"], row["sensor_type"]) for row in found] == [
        (place, kind) for place in ("hall", "roof") for kind in ("heat", "power")
    ]
    for told in found:
        some = [row for row in rows if (row["location"], row["sensor_type"]) == (told["location"], told["sensor_type"])]
        values = np.array([row["value"] for row in some])
        anomalies = sum(row["is_anomaly"] for row in some)
        assert (told["readings"], told["anomalies"]) == (len(some), anomalies)
        assert told["anomaly_share"] == pytest.approx(anomalies / len(some))
        assert (told["mean"], told["stddev"]) == pytest.approx((values.mean(), values.std()))
        assert (told["lowest"], told["highest"]) == (values.min(), values.max())
        assert told["completeness"] == pytest.approx(12 / 13)


def test_statistics_by_location(page: Pages, rows: list[Row]) -> None:
    found = {row["location"]: row for row in page.ask("analytics", "locations").rows()}
    for place, (episodes, sensors) in {"hall": (2, 1), "roof": (1, 1)}.items():
        some = [row for row in rows if row["location"] == place]
        assert found[place]["readings"] == len(some)
        assert found[place]["anomalies"] == sum(row["is_anomaly"] for row in some)
        assert (found[place]["episodes"], found[place]["bad_sensors"]) == (episodes, sensors)
    assert [row["location"] for row in page.ask("analytics", "locations", location="roof").rows()] == ["roof"]


@pytest.mark.parametrize("by", ["sensor_type", "location"])
def test_anomalies_over_time(page: Pages, rows: list[Row], by: str) -> None:
    found = page.ask("analytics", "anomalies", by=by)
    expected: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        both = expected[row["time"] // found.about["bucket_ms"] * found.about["bucket_ms"], row[by]]
        both[0] += row["is_anomaly"]
        both[1] += 1
    assert {(row["time"], row["series"]): [row["anomalies"], row["readings"]] for row in found.rows()} == expected


def test_weekdays_and_hours_in_a_time_zone(page: Pages, rows: list[Row]) -> None:
    assert datetime.fromtimestamp(BEGIN_MS / 1000, UTC).isoweekday() == 4, "a Thursday, at midnight in Greenwich"
    (row,) = page.ask("analytics", "hours", zone="America/New_York").rows()
    assert (row["weekday"], row["hour"]) == (3, 19)
    assert (row["readings"], row["anomalies"]) == (len(rows), sum(row["is_anomaly"] for row in rows))
    with pytest.raises(Problem, match="no time zone"):
        page.ask("analytics", "hours", zone="Europe/Atlantis")


def test_top_offenders(page: Pages, rows: list[Row]) -> None:
    found = list(page.ask("analytics", "offenders").rows())
    flagged = {sensor: [row["is_anomaly"] for row in rows if row["sensor_id"] == sensor] for sensor in SENSORS}
    share = {sensor: sum(some) / len(some) for sensor, some in flagged.items()}
    episodes = {"heat-hall-1": 2, "power-roof-1": 1}
    order = sorted(share, key=lambda one: (-share[one], -episodes.get(one, 0), one))
    assert [row["sensor_id"] for row in found] == order
    for row in found:
        assert (row["sensor_type"], row["location"]) == SENSORS[row["sensor_id"]]
        assert row["anomaly_share"] == pytest.approx(share[row["sensor_id"]])
        assert row["episodes"] == episodes.get(row["sensor_id"], 0)
    only = page.ask("analytics", "offenders", location="roof", type="heat")
    assert only.columns["sensor_id"] == ["heat-roof-1"]
    assert len(page.ask("analytics", "offenders", most=2)) == 2


@pytest.mark.parametrize("by", ["sensor_id", "sensor_type", "location"])
def test_correlation(page: Pages, rows: list[Row], by: str) -> None:
    found = page.ask("analytics", "correlation", by=by)
    series: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        series[row[by]][row["time"] // 60_000].append(row["value"])
    means = {name: [np.mean(some[at]) for at in sorted(some)] for name, some in series.items()}
    assert (set(found.about["names"]), found.about["of"]) == (set(means), len(means))
    assert len(found) == len(means) * (len(means) - 1) // 2
    for row in found.rows():
        expected = np.corrcoef(means[row["one"]], means[row["other"]])[0, 1]
        assert row["correlation"] == pytest.approx(expected, abs=1e-9)
        assert row["windows"] == 20


def test_a_correlation_heatmap_is_of_those_with_the_most_anomalies(page: Pages, rows: list[Row]) -> None:
    found = page.ask("analytics", "correlation", by="sensor_id", most=2)
    counts = {sensor: sum(row["is_anomaly"] for row in rows if row["sensor_id"] == sensor) for sensor in SENSORS}
    assert set(found.about["names"]) == set(sorted(counts, key=lambda one: (-counts[one], one))[:2])
    assert (found.about["of"], len(found)) == (5, 1)


def test_nothing_is_an_empty_answer(page: Pages) -> None:
    for dataset in ("places", "locations", "anomalies", "hours", "offenders", "correlation"):
        assert len(page.ask("analytics", dataset, location="cellar")) == 0
