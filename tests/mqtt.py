"""MQTT brokers for tests: Mosquitto where it is installed, else the embedded one; and publishing to them."""

import shutil
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import pytest

from infra.embedded.mqtt import EmbeddedMqtt
from infra.embedded.process import ChildProcess
from infra.embedded.service import ChildService
from infra.mqtt.place import Place
from infra.mqtt.publisher import Publisher
from infra.mqtt.template import TopicTemplate

TEMPLATE = "sensors/{sensor_id}/data"
_PATHS = "/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path=_PATHS)
needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed (Debian: mosquitto)")


class MqttBroker(Protocol):
    """What tests need of one."""

    port: int

    @property
    def url(self) -> str: ...

    def start(self, *, cancelled: Callable[[], bool] = ...) -> None: ...

    def stop(self) -> int | None: ...

    def kill(self) -> None: ...


class Mosquitto(ChildService):
    """One that keeps what is not acknowledged, for as long as it runs and, after `stop`, on disk.

    config: lines of its configuration, instead of letting everybody in.
    """

    def __init__(self, home: Path, *, config: str = "allow_anonymous true", listener: str = "") -> None:
        super().__init__("mosquitto")
        home.mkdir(exist_ok=True)
        self.port = free_port()
        self._home = home
        (home / "mosquitto.conf").write_text(
            f"user root\nlistener {self.port} 127.0.0.1\n{listener}\npersistence true\npersistence_location {home}/\n"
            f"max_queued_messages 0\nlog_type all\n{config}\n"
        )

    @property
    def url(self) -> str:
        """For clients without TLS."""
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it has said."""
        return (self._home / "mosquitto.log").read_text()

    def _make(self) -> ChildProcess:
        assert MOSQUITTO is not None
        argv = [MOSQUITTO, "-c", str(self._home / "mosquitto.conf")]
        log = self._home / "mosquitto.log"
        return ChildProcess(self.name, argv, log=log, ready=lambda: listens(self.port))


def any_broker(home: Path) -> Mosquitto | EmbeddedMqtt:
    """Mosquitto where there is one."""
    return Mosquitto(home / "mosquitto") if MOSQUITTO else EmbeddedMqtt(log=home / "mqtt.log")


class Stub:
    """Answers each CONNECT with the same bytes, and hangs up when a client does; for what real brokers seldom say."""

    def __init__(self, answers: Sequence[bytes]) -> None:
        """answers: to the first packet of a connection, to the second, ..."""
        self._answers = answers
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Be gone."""
        self._server.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                with self._server.accept()[0] as client:
                    for answer in self._answers:
                        client.recv(4096)
                        client.sendall(answer)
                    client.settimeout(5)
                    client.recv(4096)


def free_port() -> int:
    """A port nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether somebody does."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def publish(url: str, messages: Iterable[tuple[str, bytes]], *, template: str = TEMPLATE) -> None:
    """Publish (sensor_id, payload) messages on the sensors' topics at QoS 1; returns when they are acknowledged."""
    place = Place(url=url, client_id="test", protocol="3.1.1")  # which every broker speaks
    with Publisher(place, TopicTemplate(template)) as publisher:
        publisher.produce_many("", ((sensor_id.encode(), payload, 0) for sensor_id, payload in messages))
