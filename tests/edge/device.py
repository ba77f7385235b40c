"""A device under test: `streamgauge edge` as a user runs it, and what listens to it."""

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from signal import SIGKILL
from typing import Any

from paho.mqtt.client import Client, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from infra.embedded.broker import Broker
from infra.embedded.process import ChildProcess
from tests.flows.commands import ARGV, processes_in
from tests.kafka import eventually, read
from tests.mqtt import free_port, publish


class Device:
    """Several runs of one device. more: of the environment, without its prefix."""

    def __init__(self, home: Path, **more: str) -> None:
        self.home, self.mqtt_port, self._health_port = home, free_port(), free_port()
        given = {
            "DATA_DIR": str(home),
            "EDGE__LISTEN": f"127.0.0.1:{self.mqtt_port}",
            "OBSERVE__LISTEN": f"127.0.0.1:{self._health_port}",
            "WORKER__EPOCH": "1s",
            "DETECTORS": "[]",
            **more,
        }
        self._env = {f"STREAMGAUGE_{name}": text for name, text in given.items()}
        self.log = home / "device.log"

    @contextmanager
    def runs(self, *words: str) -> Iterator[ChildProcess]:
        """From its being ready until it is told to stop, which it does in good order."""
        home = self.home
        home.mkdir(exist_ok=True)
        self.log.unlink(missing_ok=True)
        process = ChildProcess(
            "edge",
            [*ARGV, "--config", os.devnull, "edge", *words],
            log=self.log,
            env=self._env,
            ready=lambda: "to try" in self.said,
            ready_timeout_s=120,
            stop_timeout_s=90,
        )
        process.start()
        try:
            yield process
            assert process.stop() == 0, self.said
        finally:
            process.stop()

    @property
    def said(self) -> str:
        """What the command has said in this run."""
        return self.log.read_text() if self.log.exists() else ""

    def publish(self, readings: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """As sensors do: (sensor_id, reading), at QoS 1."""
        publish(f"mqtt://127.0.0.1:{self.mqtt_port}", ((name, json.dumps(one).encode()) for name, one in readings))

    def kill(self, part: str) -> None:
        """With signal 9; returns when it is gone. part: worker, gateway, log."""
        mark = {"log": f"--data-dir {self.home}/edge/log"}.get(part, f"--part {part}")
        (line,) = [one for one in processes_in(self.home) if mark in one]
        pid = int(line.split()[0])
        os.kill(pid, SIGKILL)
        assert eventually(lambda: not any(one.split()[0] == str(pid) for one in processes_in(self.home)))

    def ready_again(self, *, deaths: int) -> bool:
        """So many parts have died, and all are back."""
        died = eventually(lambda: len(re.findall("started again in", self.said)) >= deaths, within_s=30)
        return died and eventually(lambda: self.asked("/health/ready")[0] == 200, within_s=60, every_s=0.1)

    def asked(self, path: str) -> tuple[int, str]:
        """Status and body of an answer of the whole; 0 while there is none."""
        connection = HTTPConnection("127.0.0.1", self._health_port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()


@contextmanager
def heard(
    port: int, *topics: str, on_told: Callable[[str, dict[str, Any]], object] = lambda topic, payload: None
) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """(topic, payload) of what is published there while in the block; it is subscribed to again after a cut."""
    found: list[tuple[str, dict[str, Any]]] = []
    subscribed = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, client_id="listener", protocol=MQTTv311)

    def take(topic: str, payload: bytes) -> None:
        found.append((topic, json.loads(payload)))
        on_told(*found[-1])

    client.on_message = lambda _, __, message: take(message.topic, bytes(message.payload))

    def subscribe(*_: Any) -> None:
        client.subscribe([(one, 1) for one in topics])

    client.on_connect = subscribe
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert subscribed.wait(10)
    try:
        yield found
    finally:
        client.disconnect()
        client.loop_stop()


def readings(names: Iterable[str], first: int, last: int) -> list[tuple[str, dict[str, Any]]]:
    """One after the other, with running numbers as values."""
    now_ms = round(time.time() * 1000)
    chosen = list(names)
    return [
        (
            chosen[n % len(chosen)],
            {"value": n / 100, "timestamp": now_ms + n - last, "sensor_type": "temperature", "location": "hall"},
        )
        for n in range(first, last)
    ]


def arrived(upstream: Broker, topic: str) -> list[dict[str, Any]]:
    """What a topic of the Kafka elsewhere holds."""
    return [json.loads(one.value() or b"{}") for one in read(upstream.bootstrap, topic)]
