"""The HTTP service under test: as `streamgauge ingest http` puts it together, on a real socket, in a thread."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import httpx
import msgspec

from flows.ingest_http import Service, service
from flows.settings import ClickHouse, Http, Kafka, Settings
from infra.embedded.broker import Broker
from tests.kafka import new_topic, read

NDJSON = {"content-type": "application/x-ndjson"}


@contextmanager
def serving(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a service that runs with these settings; what it raised is raised at the end."""
    with serving_from_inside(settings) as (client, _):
        yield client


@contextmanager
def serving_from_inside(settings: Settings) -> Iterator[tuple[httpx.Client, Service]]:
    """The service itself, too."""
    problems: list[BaseException] = []
    with service(settings, Event()) as ready:

        def run() -> None:
            try:
                ready.run()
            except BaseException as problem:
                problems.append(problem)

        thread = Thread(target=run, daemon=True)
        thread.start()
        try:
            with httpx.Client(base_url=ready.url, timeout=30, verify=False) as client:
                yield client, ready
        finally:
            ready.server.stop()
            thread.join()
    if problems:
        raise problems[0]


def settings_for(broker: Broker, *, partitions: int = 3, bootstrap: str = "", **http: Any) -> Settings:
    """A new topic of this broker behind a service on a port of its own. http: settings of `[http]`."""
    topic = new_topic(broker, partitions=partitions)
    return Settings(
        kafka=Kafka(bootstrap=bootstrap or broker.bootstrap, topics=(topic,)),
        http=Http(**{"listen": "127.0.0.1:0", **http}),
    )


def in_database(settings: Settings, port: int, database: str) -> Settings:
    """The same, with a ClickHouse beside it."""
    return msgspec.structs.replace(settings, clickhouse=ClickHouse(port=port, database=database))


def reading(sensor_id: str = "pump-1", value: float = 1.5, **more: Any) -> dict[str, Any]:
    """One reading of now."""
    return {"sensor_id": sensor_id, "value": value, "timestamp": time.time_ns() // 1_000_000, **more}


def ndjson(readings: list[dict[str, Any]]) -> bytes:
    """One a line."""
    return b"\n".join(msgspec.json.encode(one) for one in readings)


def in_kafka(settings: Settings, broker: Broker) -> dict[int, list[Mapping[str, Any]]]:
    """The readings in the topic, by partition, in order."""
    topic = settings.kafka.topics[0]
    found: dict[int, list[Mapping[str, Any]]] = {}
    for partition in range(3):
        for message in read(broker.bootstrap, topic, partition=partition):
            content = msgspec.json.decode(message.value() or b"")
            found.setdefault(partition, []).extend(content if isinstance(content, list) else [content])
    return found
