"""Readings over HTTP into Kafka: the real service on a real socket, before the embedded broker."""

import gzip
import io
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pyarrow as pa
import pytest

from flows.settings import Settings
from infra.embedded.broker import Broker
from tests.infra.http_service import NDJSON, in_kafka, ndjson, reading, serving, settings_for

BODY_BYTES = 200_000
GZIP = {"content-encoding": "gzip"}


@pytest.fixture(scope="module")
def settings(broker: Broker) -> Settings:
    return settings_for(broker, max_body_bytes=BODY_BYTES)


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[httpx.Client]:
    with serving(settings) as one:
        yield one


@pytest.fixture
def sensor(request: pytest.FixtureRequest) -> str:
    """A sensor of this test's own."""
    return str(request.node.name)


def stored(settings: Settings, broker: Broker, prefix: str) -> list[Any]:
    """What is in Kafka of sensors whose name begins so, partition by partition."""
    parts = in_kafka(settings, broker)
    return [one for part in parts.values() for one in part if one["sensor_id"].startswith(prefix)]


def test_one_reading_is_in_kafka_when_that_was_asked_for(
    client: httpx.Client, settings: Settings, broker: Broker, sensor: str
) -> None:
    sent = reading(sensor, location="hall-2")
    answer = client.post("/readings?ack=all", json=sent)
    assert answer.status_code == 202
    assert answer.json() == {"accepted": 1, "rejected": 0, "delivered": True, "errors": []}
    assert stored(settings, broker, sensor) == [sent]


def test_without_asking_it_is_answered_as_soon_as_it_is_taken_in(client: httpx.Client, sensor: str) -> None:
    answer = client.post("/readings", json=reading(sensor))
    assert (answer.status_code, answer.json()["delivered"]) == (202, False)


@pytest.mark.parametrize("form", ["array", "ndjson", "gzip", "arrow"])
def test_many_readings_keep_their_order_and_stay_with_their_sensors(
    client: httpx.Client, settings: Settings, broker: Broker, form: str, sensor: str
) -> None:
    sent = [reading(f"{sensor}-{i % 20}", value=float(i)) for i in range(1_000)]
    match form:
        case "array":
            body, headers = msgspec.json.encode(sent), {"content-type": "application/json"}
        case "ndjson":
            body, headers = ndjson(sent), NDJSON
        case "gzip":
            half = len(sent) // 2  # in two members, as some writers do
            body = gzip.compress(ndjson(sent[:half]) + b"\n") + gzip.compress(ndjson(sent[half:]))
            headers = {**NDJSON, "content-encoding": "gzip"}
        case _:
            body, headers = arrow(sent), {"content-type": "application/vnd.apache.arrow.stream"}
    answer = client.post("/readings?ack=all", content=body, headers=headers)
    assert answer.json() == {"accepted": 1_000, "rejected": 0, "delivered": True, "errors": []}
    found = stored(settings, broker, sensor)
    for one in range(20):
        of_one = [row for row in found if row["sensor_id"] == f"{sensor}-{one}"]
        assert of_one == [row for row in sent if row["sensor_id"] == f"{sensor}-{one}"]
    assert len(found) == len(sent)


def arrow(readings: list[dict[str, Any]]) -> bytes:
    table = pa.Table.from_pylist(readings)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def test_bad_rows_are_told_and_good_ones_taken(
    client: httpx.Client, settings: Settings, broker: Broker, sensor: str
) -> None:
    good = [reading(sensor, value=float(i)) for i in range(3)]
    lines = [
        msgspec.json.encode(good[0]),
        b'{"sensor_id": "x", "value": "warm", "timestamp": 1}',
        b"",
        msgspec.json.encode(good[1]),
        b"[" + msgspec.json.encode(good[0]) + b"]",
        b'{"sensor_id": "x", "value": 1',
        msgspec.json.encode({**good[0], "timestamp": good[0]["timestamp"] // 1000}),
        msgspec.json.encode({**good[0], "timestamp": good[0]["timestamp"] + 86_400_000}),
        msgspec.json.encode(good[2]),
    ]
    answer = client.post("/readings?ack=all", content=b"\n".join(lines), headers=NDJSON)
    assert answer.status_code == 202
    told = answer.json()
    assert (told["accepted"], told["rejected"]) == (3, 5)
    assert [(one["row"], one["reason"]) for one in told["errors"]] == [
        (1, "wrong_type"),
        (3, "wrong_type"),
        (4, "bad_json"),
        (5, "timestamp_unit"),
        (6, "clock_ahead"),
    ]
    assert all(one["detail"] for one in told["errors"])
    assert stored(settings, broker, sensor) == good


def test_only_a_hundred_errors_are_told_of_a_body(client: httpx.Client) -> None:
    answer = client.post("/readings", content=b'{"a": 1}\n' * 250, headers=NDJSON)
    told = answer.json()
    assert (told["rejected"], len(told["errors"]), told["errors_left_out"]) == (250, 100, 150)


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 400, "empty_payload"),
        (b"{", 400, "bad_json"),
        (b"\xff\xfe{}", 400, "not_utf8"),
        (b"[]", 422, None),
        (b'"text"', 422, "wrong_type"),
        (b'{"sensor_id": "x", "timestamp": 1}', 422, "missing_field"),
    ],
)
def test_nothing_good_is_an_error(client: httpx.Client, body: bytes, status: int, reason: str | None) -> None:
    answer = client.post("/readings", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert [one["reason"] for one in answer.json()["errors"]] == ([reason] if reason else [])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({}, 415),
        ({"content-type": "application/json", "content-encoding": "br"}, 415),
        ({"content-type": "application/vnd.apache.arrow.stream"}, 415),
    ],
)
def test_other_types_are_refused(client: httpx.Client, headers: dict[str, str], status: int) -> None:
    answer = client.post("/readings", content=msgspec.json.encode(reading()), headers=headers)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])


def test_a_body_that_is_too_large_is_refused_however_it_comes(client: httpx.Client) -> None:
    large = b" " * (BODY_BYTES + 1)
    pieces = (b" " * 50_000 for _ in range(5))
    bomb = gzip.compress(b" " * 100_000_000)
    assert len(bomb) < BODY_BYTES
    for content, more in ((large, {}), (pieces, {}), (bomb, GZIP)):
        answer = client.post("/readings", content=content, headers={**NDJSON, **more})
        assert answer.status_code == 413
        assert "200000 bytes" in answer.json()["error"]


def test_a_body_of_endless_lines_is_refused(broker: Broker) -> None:
    with serving(settings_for(broker)) as client:
        lines = client.post("/readings", content=gzip.compress(b"{}\n" * 250_001), headers=NDJSON | GZIP)
        assert (lines.status_code, "250000 lines" in lines.json()["error"]) == (413, True)
        array = gzip.compress(b"[" + b"1," * 1_000_000 + b"1]")
        answer = client.post("/readings", content=array, headers={"content-type": "application/json", **GZIP})
        assert (answer.status_code, "2000000 bytes" in answer.json()["error"]) == (413, True)


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(b"{}")[:-4]])
def test_damaged_gzip_is_refused(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/readings", content=body, headers={**NDJSON, "content-encoding": "gzip"})
    assert (answer.status_code, "gzip" in answer.json()["error"]) == (400, True)


def test_other_methods_paths_and_parameters_are_refused(client: httpx.Client) -> None:
    wrong = client.get("/readings")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert client.get("/nothing").json() == {"error": "not found; see /docs"}
    assert client.post("/readings?ack=none", json=reading()).status_code == 400


def test_health_and_metrics(client: httpx.Client, sensor: str) -> None:
    assert client.get("/health/live").json() == {"status": "ok"}
    assert client.get("/health/ready").json() == {"status": "ok", "missing": []}
    client.post("/readings?ack=all", json=reading(sensor))
    page = client.get("/metrics").text
    assert 'streamgauge_http_requests_total{route="/readings",status="202"}' in page
    assert 'streamgauge_http_readings_total{outcome="accepted"}' in page


def test_the_description_is_complete_and_needs_nothing_from_elsewhere(client: httpx.Client) -> None:
    told = client.get("/openapi.json").json()
    wanted = {"/readings", "/api/readings", "/api/windows", "/api/predictions", "/api/alerts", "/health/ready"}
    assert wanted <= set(told["paths"])
    names = {
        path: {one["name"] for one in told["paths"][path]["get"]["parameters"]} for path in wanted if "/api/" in path
    }
    assert "detector" in names["/api/predictions"]
    assert "detector" not in names["/api/readings"]
    assert "window" in names["/api/windows"]
    page = client.get("/", follow_redirects=True)
    assert page.url.path == "/docs"
    for path in told["paths"]:
        assert path in page.text
    assert "://" not in page.text
    assert "<script" not in page.text
