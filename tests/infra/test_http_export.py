"""Readings over HTTP, through the flow into ClickHouse, and out again: each exactly once, in every format."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from flows.settings import ClickHouse, Http, Kafka, Settings
from infra.clickhouse.client import Address
from infra.clickhouse.export import EXPORTS, BadCursor, Busy, Exporter, Wanted
from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.simulate.runner import wall_clock_ms
from tests.infra.http_service import NDJSON, ndjson, serving
from tests.kafka import new_topic
from tests.running import Site, create_tables

SENSORS, STEPS = 12, 60
READINGS = SENSORS * STEPS


@pytest.fixture(scope="module")
def sent() -> list[dict[str, Any]]:
    """All sensors every three seconds, in order of time."""
    begin_ms = wall_clock_ms() - STEPS * 3_000
    return [
        {
            "sensor_id": f"s-{number}",
            "value": float(step * 100 + number),
            "timestamp": begin_ms + step * 3_000,
            "sensor_type": ("temperature", "it's \\ odd")[number % 2],
            "location": f"hall-{number % 3}",
        }
        for step in range(STEPS)
        for number in range(SENSORS)
    ]


@pytest.fixture(scope="module")
def site(broker: Broker, clickhouse: EmbeddedClickHouse, tmp_path_factory: pytest.TempPathFactory) -> Site:
    home = tmp_path_factory.mktemp("http")
    topic = new_topic(broker, partitions=3)
    site = Site(
        home=home,
        bootstrap=broker.bootstrap,
        topic=topic,
        clickhouse_port=clickhouse.port,
        database=f"http_{topic[-8:]}",
    )
    create_tables(site)
    return site


@pytest.fixture(scope="module")
def client(site: Site, sent: list[dict[str, Any]]) -> Iterator[httpx.Client]:
    """Of a service to which everything was sent and which the flow has worked off."""
    settings = Settings(
        kafka=Kafka(bootstrap=site.bootstrap, topics=(site.topic,)),
        clickhouse=ClickHouse(port=site.clickhouse_port, database=site.database),
        http=Http(listen="127.0.0.1:0", max_rows=1_000),
    )
    with serving(settings) as one:
        for first in range(0, READINGS, 100):
            part = sent[first : first + 100]
            for _ in range(2 if first == 300 else 1):  # an answer got lost, and it was sent again
                answer = one.post("/readings?ack=all", content=ndjson(part), headers=NDJSON)
                assert answer.json()["accepted"] == len(part)
        site.run_to_end()
        yield one


def pages(client: httpx.Client, path: str, **query: Any) -> list[httpx.Response]:
    """Every page, by the header `Link`."""
    found = [client.get(path, params=query)]
    while True:
        assert found[-1].status_code == 200, found[-1].text
        following = found[-1].links.get("next")
        if following is None:
            return found
        found.append(client.get(following["url"]))


def rows(client: httpx.Client, path: str, **query: Any) -> list[dict[str, Any]]:
    """The rows of every page as JSON."""
    return [row for page in pages(client, path, **query) for row in page.json()["rows"]]


def instant(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def in_ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def test_what_was_posted_is_stored_exactly_once_and_comes_back(
    client: httpx.Client, site: Site, sent: list[dict[str, Any]]
) -> None:
    wanted = sorted((one["sensor_id"], one["timestamp"], one["value"]) for one in sent)
    stored = [(row["sensor_id"], in_ms(row["time"]), row["value"]) for row in site.stored("readings")]
    assert sorted(stored) == wanted
    ledger = site.stored("ledger")
    assert sum(row["duplicates"] for row in ledger) == 100
    found = rows(client, "/api/readings", limit=1_000)
    told = [(row["sensor_id"], row["time"], row["value"]) for row in found]
    assert sorted(told) == [(sensor, instant(time_ms), value) for sensor, time_ms, value in wanted]
    assert [row["time"] for row in found] == sorted(row["time"] for row in found)


@pytest.mark.parametrize("limit", [1_000, READINGS, READINGS - 1, 97])
def test_paging_meets_every_row_once(client: httpx.Client, site: Site, limit: int) -> None:
    found = pages(client, "/api/readings", limit=limit)
    assert len(found) == -(-READINGS // limit)
    places = [(r["topic"], r["partition"], r["offset"], r["idx"]) for page in found for r in page.json()["rows"]]
    assert len(places) == len(set(places)) == READINGS
    assert found[-1].json()["next"] is None


def test_all_formats_say_the_same(client: httpx.Client) -> None:
    query: dict[str, Any] = {"sensor": "s-3", "limit": 1_000}
    plain = rows(client, "/api/readings", **query)
    assert len(plain) == STEPS
    wanted = [(row["time"], row["value"], row["location"], row["is_anomaly"]) for row in plain]
    lines = client.get("/api/readings", params={**query, "format": "ndjson"}).text.splitlines()
    assert [json.loads(line) for line in lines] == plain
    text = client.get("/api/readings", params=query, headers={"accept": "text/csv"})
    assert text.headers["content-type"].startswith("text/csv")
    table = list(csv.DictReader(io.StringIO(text.text)))
    assert [(r["time"], float(r["value"]), r["location"], r["is_anomaly"] == "true") for r in table] == wanted
    assert {r["seq"] for r in table} == {""}
    for form, read in (("parquet", parquet.read_table), ("arrow", pa.ipc.open_stream)):
        answer = client.get("/api/readings", params={**query, "format": form})
        found = read(pa.BufferReader(answer.content))
        columns = (found if isinstance(found, pa.Table) else found.read_all()).to_pylist()
        told = [(instant(in_ms(r["time"])), r["value"], r["location"], r["is_anomaly"]) for r in columns]
        assert told == wanted, form


def test_time_range_and_filters(client: httpx.Client, sent: list[dict[str, Any]]) -> None:
    begin_ms, end_ms = sent[10 * SENSORS]["timestamp"], sent[20 * SENSORS]["timestamp"]
    inside = rows(client, "/api/readings", **{"from": begin_ms, "to": instant(end_ms)}, limit=50)
    assert len(inside) == 10 * SENSORS
    odd = rows(client, "/api/readings", type="it's \\ odd", location=["hall-1", "hall-2"], limit=1_000)
    assert {row["sensor_id"] for row in odd} == {"s-1", "s-5", "s-7", "s-11"}
    assert len(odd) == 4 * STEPS
    assert rows(client, "/api/readings", sensor="'; DROP TABLE readings; --") == []


def test_the_other_tables(client: httpx.Client, site: Site) -> None:
    windows = rows(client, "/api/windows", window="1m by sensor", limit=7)
    assert len(windows) == len(site.stored("windows", where="window = '1m by sensor'"))
    assert {row["count"] for row in windows} >= {20}
    said = rows(client, "/api/predictions", sensor="s-1", detector=["z-score", "level"], limit=100)
    assert {row["detector"] for row in said} == {"z-score", "level"}
    assert len(said) == 2 * STEPS
    for name in ("alerts", "asset_verdicts", "data_quality"):
        assert isinstance(rows(client, f"/api/{name}"), list)


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/api/readings?limit=1001", 422, "limit"),
        ("/api/readings?from=yesterday", 422, "from: 'yesterday' is not RFC 3339"),
        ("/api/readings?format=xml", 422, "format"),
        ("/api/windows?detector=x", 422, "windows cannot be asked by it"),
        ("/api/readings?cursor=nonsense", 400, "cursor"),
        ("/api/readings?cursor=WyJ3aW5kb3dzIiwxXQ", 400, "cursor"),
        ("/api/nothing", 404, "not found"),
    ],
)
def test_what_cannot_be_asked_is_told(client: httpx.Client, path: str, status: int, said: str) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert said in answer.json()["error"]


def test_a_format_that_there_is_not_is_told(client: httpx.Client) -> None:
    assert client.get("/api/readings", headers={"accept": "image/png"}).status_code == 406
    browser = client.get("/api/readings?limit=1", headers={"accept": "text/html,*/*;q=0.8"})
    assert browser.headers["content-type"] == "application/json"


def test_without_clickhouse_exports_are_answered_503_and_readings_still_taken_in(site: Site) -> None:
    settings = Settings(
        kafka=Kafka(bootstrap=site.bootstrap, topics=(site.topic,)),
        clickhouse=ClickHouse(port=1),
        http=Http(listen="127.0.0.1:0"),
    )
    with serving(settings) as client:
        answer = client.get("/api/readings")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "does not answer" in answer.json()["error"]
        assert client.get("/health/ready").status_code == 200


def test_alerts_come_in_pages_with_what_people_did(client: httpx.Client, site: Site) -> None:
    with site.asking() as ask:
        ask(
            "INSERT INTO alerts (alert_id, started_at, state, updated_at, version, severity, rule, location) "
            "SELECT concat('a-', toString(number)), toDateTime64('2020-01-01 00:00:00', 3, 'UTC') + intDiv(number, 3), "
            "'open', now64(3), 1, 'warning', 'stuck', concat('yard-', toString(number % 2)) FROM numbers(7)"
        )
    found = rows(client, "/api/alerts", to="2021-01-01T00:00:00Z", limit=2)
    assert [row["alert_id"] for row in found] == [f"a-{number}" for number in range(7)]
    assert {row["acknowledged"] for row in found} == {False}
    one = rows(client, "/api/alerts", to="2021-01-01T00:00:00Z", location="yard-1")
    assert [row["alert_id"] for row in one] == ["a-1", "a-3", "a-5"]


def test_no_more_pages_are_made_at_a_time_than_may(site: Site) -> None:
    exporter = Exporter(Address(port=site.clickhouse_port, database=site.database), at_a_time=1)
    wanted = Wanted(export=EXPORTS["readings"], form="csv", limit=1)
    page = exporter.page(wanted)
    with pytest.raises(Busy):
        exporter.page(wanted)
    page.close()  # in the middle
    again = exporter.page(wanted)
    assert len(b"".join(again).splitlines()) in (1, 2)
    again.close()
    with pytest.raises(BadCursor):
        exporter.page(Wanted(export=EXPORTS["windows"], form="csv", limit=1, cursor="x"))
    exporter.page(wanted).close()
    exporter.close()
