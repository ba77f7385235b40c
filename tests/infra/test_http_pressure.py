"""The HTTP service before a Kafka that is slow, silent or gone, and before clients that are."""

import socket
from threading import Thread
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from flows.settings import Settings
from flows.settings_types import Duration
from infra.embedded.broker import Broker
from infra.http.answers import Problem
from infra.http.body import BodyReader
from infra.kafka.client import DeliveryFailed, KafkaFailure
from tests.infra.http_service import NDJSON, in_kafka, ndjson, reading, serving, serving_from_inside, settings_for
from tests.kafka import eventually
from tests.recovery.proxy import Proxy, Weather

HEAD = b"POST /readings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def connected(client: httpx.Client) -> socket.socket:
    """A bare connection to the service."""
    return socket.create_connection(("127.0.0.1", client.base_url.port or 0), timeout=20)


def port_of(broker: Broker) -> int:
    return int(broker.bootstrap.rpartition(":")[2])


def behind(broker: Broker, proxy: Proxy, **http: Any) -> Settings:
    return settings_for(broker, bootstrap=f"127.0.0.1:{proxy.port}", **http)


def values(settings: Settings, broker: Broker) -> list[float]:
    return [one["value"] for part in in_kafka(settings, broker).values() for one in part]


def test_a_full_queue_is_answered_429_and_what_was_taken_in_arrives(broker: Broker) -> None:
    with Proxy(port_of(broker), kafka=True) as proxy:
        settings = behind(broker, proxy, queue_bytes=20_000, kafka_timeout=Duration(60_000))
        with serving(settings) as client:
            assert client.post("/readings?ack=all", json=reading(value=-1.0)).status_code == 202
            proxy.set(Weather(silent=True))
            statuses: list[int] = []
            taken: list[float] = []
            for number in range(20):
                some = [reading(value=float(number * 50 + i)) for i in range(50)]
                answer = client.post("/readings", content=ndjson(some), headers=NDJSON)
                statuses.append(answer.status_code)
                if answer.status_code == 202:
                    taken += [one["value"] for one in some]
            assert statuses[0] == 202
            assert statuses[-1] == 429
            assert int(answer.headers["retry-after"]) == 1
            assert "nothing was taken in" in answer.json()["error"]
            proxy.set(Weather())
            assert eventually(lambda: client.post("/readings", json=reading(value=-2.0)).status_code == 202)
        found = values(settings, broker)
        assert [one for one in found if one >= 0] == taken


def test_kafka_away_for_too_long_is_answered_503(broker: Broker) -> None:
    with Proxy(port_of(broker), kafka=True) as proxy:
        settings = behind(broker, proxy, kafka_timeout=Duration(300), ack_timeout=Duration(200))
        with serving(settings) as client:
            assert eventually(lambda: client.post("/readings?ack=all", json=reading()).status_code == 202)
            proxy.set(Weather(silent=True))
            waited = client.post("/readings?ack=all", json=reading(value=2.0))
            assert waited.status_code == 503
            assert "not confirmed within 0.2 s" in waited.json()["error"]
            assert eventually(lambda: client.post("/readings", json=reading(value=3.0)).status_code == 503)
            assert client.get("/health/ready").status_code == 503
            assert client.get("/health/live").status_code == 200
            proxy.set(Weather())
            assert eventually(lambda: client.get("/health/ready").status_code == 200)
            assert eventually(lambda: client.post("/readings?ack=all", json=reading(value=4.0)).status_code == 202)
        assert {1.5, 2.0, 4.0} <= set(values(settings, broker)), "what was taken in has arrived"


def test_what_cannot_be_delivered_at_the_end_is_told(broker: Broker) -> None:
    with Proxy(port_of(broker), kafka=True) as proxy:
        settings = behind(broker, proxy)
        settings = replace(settings, worker=replace(settings.worker, drain_timeout=Duration(200)))
        with pytest.raises(DeliveryFailed, match="not delivered"):
            _take_in_while_silent(settings, proxy)


def test_a_body_that_does_not_arrive_holds_nobody_up(broker: Broker) -> None:
    with serving(settings_for(broker, body_timeout=Duration(200))) as client, connected(client) as slow:
        slow.sendall(HEAD + b"Content-Length: 9\r\n\r\n{")
        assert client.post("/readings", json=reading()).status_code == 202
        told = b""
        while piece := slow.recv(65_536):
            told += piece
        assert told.startswith(b"HTTP/1.1 408")


def test_a_head_that_does_not_end_is_refused(broker: Broker) -> None:
    with serving(settings_for(broker)) as client, connected(client) as endless:
        endless.sendall(b"GET /health/live HTTP/1.1\r\nX: ")
        told = b""
        try:
            for _ in range(100):
                endless.sendall(b"x" * 1_000)
            while piece := endless.recv(65_536):
                told += piece
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was hung up on while still sending
        assert not told or told.startswith(b"HTTP/1.1 400")
        assert client.get("/health/live").status_code == 200


def test_bodies_share_a_bounded_memory() -> None:
    reader = BodyReader(max_bytes=1_000, memory_bytes=2_000, timeout_s=1.0)
    with reader.room() as first, reader.room() as second:
        first.take(900)
        second.take(900)
        with reader.room() as third, pytest.raises(Problem) as refused:
            third.take(900)
        assert (refused.value.status, refused.value.headers["retry-after"]) == (429, "1")
    with reader.room() as later:
        later.take(2_000)


def test_when_waiting_for_kafka_is_of_no_use_it_ends_with_why(broker: Broker) -> None:
    problem = KafkaFailure("Kafka refuses: check kafka.password")
    with pytest.raises(KafkaFailure, match=r"check kafka\.password"):
        _serve_until(problem, settings_for(broker))


def _serve_until(problem: KafkaFailure, settings: Settings) -> None:
    with serving_from_inside(settings) as (client, inside):
        assert client.post("/readings?ack=all", json=reading()).status_code == 202

        def serve() -> None:
            raise problem

        inside.outlet.serve = serve  # type: ignore[method-assign]
        assert eventually(lambda: not _answers(client))


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health/live").status_code == 200
    except httpx.TransportError:
        return False


def test_requests_that_run_are_answered_when_the_service_is_stopped(broker: Broker) -> None:
    with Proxy(port_of(broker), kafka=True) as proxy:
        settings = behind(broker, proxy)
        answers: list[int] = []
        with serving_from_inside(settings) as (client, inside):
            assert client.post("/readings?ack=all", json=reading()).status_code == 202
            proxy.set(Weather(delay_s=0.3))

            def post() -> None:
                url = f"{client.base_url}/readings?ack=all"
                answers.append(httpx.post(url, json=reading(value=2.0), timeout=20).status_code)

            thread = Thread(target=post)
            thread.start()
            assert eventually(lambda: inside.outlet.waiting > 0)
        thread.join()
        assert answers == [202]
        assert 2.0 in values(settings, broker)


def _take_in_while_silent(settings: Settings, proxy: Proxy) -> None:
    with serving(settings) as client:
        assert client.post("/readings?ack=all", json=reading()).status_code == 202
        proxy.set(Weather(silent=True))
        assert client.post("/readings", json=reading(value=2.0)).status_code == 202


def test_cut_connections_to_kafka_lose_double_and_reorder_nothing(broker: Broker) -> None:
    with Proxy(port_of(broker), kafka=True) as proxy:
        settings = behind(broker, proxy)
        with serving(settings) as client:
            for number in range(40):
                some = [reading(f"s-{i % 7}", value=float(number * 50 + i)) for i in range(50)]
                assert client.post("/readings", content=ndjson(some), headers=NDJSON).status_code == 202
                if number % 10 == 5:
                    proxy.cut()
            assert eventually(lambda: client.post("/readings?ack=all", json=reading(value=-1.0)).status_code == 202)
        found = [one["value"] for part in in_kafka(settings, broker).values() for one in part]
        assert sorted(one for one in found if one >= 0) == [float(value) for value in range(2_000)]
        for part in in_kafka(settings, broker).values():
            for sensor in {one["sensor_id"] for one in part}:
                of_one = [one["value"] for one in part if one["sensor_id"] == sensor and one["value"] >= 0]
                assert of_one == sorted(of_one)
