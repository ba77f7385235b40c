"""The embedded services on this machine: starting them, finding those of a running demo, opening kept data."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from flows.settings import ClickHouse, Kafka, Settings
from infra.clickhouse.client import Address

_ENDPOINTS = "endpoints.json"


class LocalServices:
    """The embedded broker and ClickHouse with their data under `data_dir`; started together, stopped in reverse order.

    The embedded extra is imported here only, so that a worker runs without it.
    """

    def __init__(self, settings: Settings) -> None:
        from infra.embedded.broker import Broker
        from infra.embedded.clickhouse import EmbeddedClickHouse

        self._given = settings
        self._data_dir = Path(settings.data_dir).absolute()
        self._broker = Broker(self._data_dir / "broker")
        self._clickhouse = EmbeddedClickHouse(
            self._data_dir / "clickhouse", log=self._data_dir / "logs" / "clickhouse.log"
        )
        self._stack = ExitStack()

    def start(self, *, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Start both. Raises ChildFailed, or StartCancelled."""
        try:
            self._broker.start(cancelled=cancelled)
            self._stack.callback(self._broker.stop)
            self._clickhouse.start(cancelled=cancelled)
            self._stack.callback(self._clickhouse.stop)
            file = self._data_dir / _ENDPOINTS
            told = {"pid": os.getpid(), "bootstrap": self._broker.bootstrap, "clickhouse_port": self._clickhouse.port}
            file.write_text(json.dumps(told))
            self._stack.callback(file.unlink, missing_ok=True)
        except BaseException:
            self.stop()
            raise

    @property
    def settings(self) -> Settings:
        """The given settings, pointed at these services."""
        return _pointed(self._given, self._broker.bootstrap, self._clickhouse.port)

    def check(self) -> None:
        """Raises ChildFailed when one has ended by itself."""
        for service in (self._broker, self._clickhouse):
            if service.returncode is not None:
                raise service.failure()

    def stop(self) -> None:
        """Stop what runs; may be called again."""
        self._stack.close()


def running(settings: Settings) -> Settings:
    """The settings, with Kafka and ClickHouse pointed at a running demo's where they are left at their defaults."""
    told = _endpoints(settings)
    return settings if told is None else _pointed(settings, told["bootstrap"], told["clickhouse_port"])


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


def _pointed(settings: Settings, bootstrap: str, clickhouse_port: int) -> Settings:
    kafka, clickhouse = settings.kafka, settings.clickhouse
    if kafka.bootstrap == Kafka().bootstrap:
        kafka = msgspec.structs.replace(kafka, bootstrap=bootstrap)
    if (clickhouse.host, clickhouse.port) == (ClickHouse().host, ClickHouse().port):
        clickhouse = msgspec.structs.replace(clickhouse, port=clickhouse_port)
    return msgspec.structs.replace(settings, kafka=kafka, clickhouse=clickhouse)


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
