"""The console over a socket: JSON, CSV, files, what is new, and errors that say what to do."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from flows.console import console
from flows.settings import Console, Settings, SettingsError
from infra.clickhouse.client import Address, Client
from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.simulate.runner import wall_clock_ms
from tests.infra.clickhouse_support import Wire, database
from tests.infra.console.rows_support import BEGIN_MS, END_MS, insert, readings

RANGE = {"from": BEGIN_MS, "to": END_MS}


@contextmanager
def serving(home: Path, address: Address) -> Iterator[httpx.Client]:
    """A console on a port of its own; at the end it must stop by itself."""
    settings = Settings(data_dir=str(home), console=Console(listen="127.0.0.1:0"))
    with console(settings, address) as ready:
        thread = Thread(target=ready.run, daemon=True)
        thread.start()
        try:
            with httpx.Client(base_url=ready.url, timeout=30) as client:
                yield client
        finally:
            ready.server.stop()
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def place(clickhouse: EmbeddedClickHouse) -> Iterator[tuple[Address, Client]]:
    with database(clickhouse.port) as (address, client):
        insert(client, "readings", readings())
        yield address, client


@pytest.fixture(scope="module")
def site(place: tuple[Address, Client], tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with serving(tmp_path_factory.mktemp("console"), place[0]) as client:
        yield client


def test_rows_as_json_and_the_same_as_csv(site: httpx.Client) -> None:
    told = site.get("/api/live/sensors", params=RANGE)
    columns = told.json()["columns"]
    assert told.headers["cache-control"] == "no-store"
    assert told.json()["about"] == {"from_ms": BEGIN_MS, "to_ms": END_MS}
    assert told.json()["kinds"]["last"] == "time"
    table = site.get("/api/live/sensors", params=RANGE | {"format": "csv"})
    assert table.headers["content-disposition"] == 'attachment; filename="streamgauge-live-sensors.csv"'
    head, *lines = table.text.splitlines()
    assert head.split(",") == list(columns)
    assert [line.split(",")[0] for line in lines] == columns["sensor_id"]
    last = datetime.fromisoformat(lines[0].split(",")[-1])
    assert last == datetime.fromtimestamp(columns["last"][0] / 1000, UTC)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("from=yesterday", "from"),
        ("to=now-3w", "to"),
        ("from=now&to=now-1h", "from: must lie before"),
        ("from=0&to=now", "400 days"),
        ("format=xml", "one of json, csv"),
        ("most=1000000", "a number from 1 to 50"),
        ("&".join(f"sensor=s{n}" for n in range(51)), "at most 50"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(site: httpx.Client, query: str, says: str) -> None:
    answer = site.get(f"/api/live/sensors?{query}")
    assert answer.status_code == 422
    assert says in answer.json()["error"]


def test_names_in_a_question_are_only_names(site: httpx.Client) -> None:
    for odd in ("'; DROP TABLE readings --", "\\", "{from_ms:Int64}", "\x00", "é🌡", "a,b"):
        answer = site.get("/api/live/sensors", params=RANGE | {"sensor": odd, "location": odd, "type": odd})
        assert answer.status_code == 200, answer.text
        assert answer.json()["columns"]["sensor_id"] == []
    assert len(site.get("/api/live/sensors", params=RANGE).json()["columns"]["sensor_id"]) == 5


def test_what_is_not_there(site: httpx.Client) -> None:
    assert site.get("/api/live/nothing").json() == {"error": "not found"}
    assert site.get("/static/../app.py").status_code == 404
    assert site.get("/static/%2e%2e/app.py").status_code == 404
    assert site.post("/api/live/sensors").status_code == 405


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/static/style.css", "text/css"),
        ("/static/app.js", "text/javascript"),
        ("/static/pages/live.js", "text/javascript"),
        ("/static/vendor/echarts.esm.min.js", "text/javascript"),
        ("/static/icon.svg", "image/svg+xml"),
    ],
)
def test_files_are_served_by_ourselves_and_trust_nobody_else(site: httpx.Client, path: str, kind: str) -> None:
    answer = site.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].split(";")[0] == kind
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    if not path.endswith("min.js"):
        text = answer.text.replace("http://www.w3.org/", "")
        assert "http://" not in text
        assert "https://" not in text


def test_an_anomaly_is_told_as_soon_as_it_is_stored_to_those_who_look_there(
    site: httpx.Client, place: tuple[Address, Client]
) -> None:
    now_ms = wall_clock_ms()
    with site.stream("GET", "/api/stream?location=cellar") as stream:
        lines = stream.iter_lines()
        numbers = _next(lines, "numbers")
        assert numbers["readings"] == 0
        new = readings()[0] | {"time": now_ms, "is_anomaly": True, "topic": "new"}
        insert(place[1], "readings", [new | {"location": "attic"}, new | {"location": "cellar", "sensor_id": "c-1"}])
        (told,) = _next(lines, "anomalies")
        assert (told["sensor_id"], told["location"], told["time"]) == ("c-1", "cellar", now_ms)
        assert "c-1" not in json.dumps(_next(lines, "numbers"))
        assert _next(lines, "numbers")["active"] == 1


def _next(lines: Iterator[str], name: str) -> Any:
    """What the next event of this name says."""
    for line in lines:
        if line == f"event: {name}":
            return json.loads(next(lines).removeprefix("data: "))
    raise AssertionError("the stream ended")


def test_clickhouse_away_is_said_and_passes(clickhouse: EmbeddedClickHouse, tmp_path: Path) -> None:
    with database(clickhouse.port) as (address, _), Wire(clickhouse.port) as wire:
        place = Address(port=wire.port, database=address.database)
        with serving(tmp_path, place) as client:
            assert client.get("/api/health/events").status_code == 200
            wire.cut()
            away = client.get("/api/health/events")
            assert (away.status_code, away.headers["retry-after"]) == (503, "5")
            assert "ClickHouse at 127.0.0.1" in away.json()["error"]
            wire.mend()
            assert client.get("/api/health/events").status_code == 200


def test_it_does_not_start_without_tables_or_where_somebody_listens(
    clickhouse: EmbeddedClickHouse, place: tuple[Address, Client], site: httpx.Client, tmp_path: Path
) -> None:
    taken = f"127.0.0.1:{site.base_url.port}"
    for settings, address, says in (
        (Console(listen="127.0.0.1:0"), Address(port=clickhouse.port, database="default"), "run `streamgauge db init`"),
        (Console(listen=taken), place[0], f"console.listen = '{taken}': Address already in use"),
        (Console(listen="here"), place[0], 'expected "host:port"'),
        (Console(listen="127.0.0.1:0", workers=("there",)), place[0], "console.workers: 'there' is no address"),
    ):
        with (
            pytest.raises(SettingsError) as error,
            console(Settings(data_dir=str(tmp_path), console=settings), address),
        ):
            pass
        assert says in str(error.value)
        assert "\n" not in str(error.value)
