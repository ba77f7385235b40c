"""The embedded services on this machine: starting them, finding those of a running demo, opening kept data."""

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from flows.settings import ClickHouse, Console, Http, Kafka, Mqtt, Settings
from infra.clickhouse.client import Address
from infra.embedded.supervisor import Supervisor

_ENDPOINTS = "endpoints.json"


@contextmanager
def local_services(settings: Settings, supervisor: Supervisor) -> Iterator[Settings]:
    """The embedded brokers and ClickHouse with their data under `data_dir`; yields the settings pointed at them.

    Whatever the settings say: simulated readings must not reach a broker of one's own.
    Written into `data_dir` is where they are, so that other commands find them. The embedded extra is imported here
    only: a worker runs without it. Raises ChildFailed, or StartCancelled.
    """
    from infra.embedded.broker import Broker
    from infra.embedded.clickhouse import EmbeddedClickHouse
    from infra.embedded.mqtt import EmbeddedMqtt

    data_dir = Path(settings.data_dir).absolute()
    broker = supervisor.start(Broker(data_dir / "broker"))
    clickhouse = supervisor.start(EmbeddedClickHouse(data_dir / "clickhouse", log=data_dir / "logs" / "clickhouse.log"))
    mqtt = supervisor.start(EmbeddedMqtt(log=data_dir / "logs" / "mqtt.log"))
    file = data_dir / _ENDPOINTS
    told = {
        "pid": os.getpid(),
        "bootstrap": broker.bootstrap,
        "clickhouse_port": clickhouse.port,
        "mqtt_url": mqtt.url,
        "http_listen": _free_address(Http().listen),
        "console_listen": _free_address(Console().listen),
        "worker_listen": settings.observe.listen or _free_address("127.0.0.1:0"),
    }
    file.write_text(json.dumps(told))
    try:
        kafka = msgspec.structs.replace(settings.kafka, bootstrap=Kafka().bootstrap)
        place = msgspec.structs.replace(settings.clickhouse, host=ClickHouse().host, port=ClickHouse().port)
        settings = msgspec.structs.replace(settings, kafka=kafka, clickhouse=place, mqtt=Mqtt(), http=Http())
        yield _pointed(settings, told)
    finally:
        file.unlink(missing_ok=True)


def running(settings: Settings) -> Settings:
    """The settings, with services pointed at a running demo's where they are left at their defaults."""
    told = _endpoints(settings)
    return settings if told is None else _pointed(settings, told)


@contextmanager
def kept_clickhouse(settings: Settings, address: Address) -> Iterator[Address]:
    """The address; or, when nothing answers at the default one and an earlier demo kept data, that data opened."""
    data_dir = Path(settings.data_dir).absolute()
    kept = data_dir / "clickhouse"
    if settings.clickhouse.host != ClickHouse().host or not kept.is_dir() or _answers(address):
        yield address
        return
    from infra.embedded.clickhouse import EmbeddedClickHouse

    with EmbeddedClickHouse(kept, log=data_dir / "logs" / "clickhouse.log") as clickhouse:
        yield replace(address, port=clickhouse.port)


def _pointed(settings: Settings, told: Mapping[str, Any]) -> Settings:
    kafka, clickhouse, mqtt = settings.kafka, settings.clickhouse, settings.mqtt
    if kafka.bootstrap == Kafka().bootstrap:
        kafka = msgspec.structs.replace(kafka, bootstrap=told["bootstrap"])
    if (clickhouse.host, clickhouse.port) == (ClickHouse().host, ClickHouse().port):
        clickhouse = msgspec.structs.replace(clickhouse, port=told["clickhouse_port"])
    if mqtt.url == Mqtt().url:
        # It speaks nothing else; finding that out would take seconds.
        mqtt = msgspec.structs.replace(mqtt, url=told.get("mqtt_url", mqtt.url), protocol="3.1.1")
    http = settings.http
    if http.listen == Http().listen:
        http = msgspec.structs.replace(http, listen=told.get("http_listen", http.listen))
    console = settings.console
    if console.listen == Console().listen:
        console = msgspec.structs.replace(console, listen=told.get("console_listen", console.listen))
    if not console.workers and "worker_listen" in told:
        console = msgspec.structs.replace(console, workers=(told["worker_listen"],))
    return msgspec.structs.replace(settings, kafka=kafka, clickhouse=clickhouse, mqtt=mqtt, http=http, console=console)


def _free_address(wanted: str) -> str:
    """Where a service can listen: the usual place, or a free port."""
    host, _, port = wanted.rpartition(":")
    for one in (int(port), 0):
        with suppress(OSError), socket.create_server((host, one)) as place:
            return f"{host}:{place.getsockname()[1]}"
    return wanted


def _endpoints(settings: Settings) -> dict[str, Any] | None:
    """What a running demo has written of itself; None when none runs."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        told: dict[str, Any] = json.loads((Path(settings.data_dir) / _ENDPOINTS).read_text())
        os.kill(told["pid"], 0)
        return told
    return None


def _answers(address: Address) -> bool:
    with suppress(OSError), socket.create_connection((address.host, address.port), timeout=2):
        return True
    return False
