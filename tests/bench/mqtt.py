"""How fast the MQTT bridge is: QoS 1 messages that wait at a Mosquitto, until the last of them is acknowledged to it.

python -m tests.bench.mqtt --messages 100000
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import NamedTuple

from rich.console import Console

from flows.commands.common import wide_console
from flows.ingest_mqtt import bridge_until
from flows.settings import Kafka, Mqtt, Settings
from infra.embedded.broker import Broker
from infra.observe import metrics
from tests.bench.targets import Target, show_targets
from tests.kafka import new_topic
from tests.mqtt import MOSQUITTO, Mosquitto, publish

_WANTED = 8_000
_SENSORS = 1_000
_PUBLISHERS = 4


class Bridged(NamedTuple):
    """One run. cpu_us: of the bridge's process, its Kafka client included, for a message."""

    per_s: float
    cpu_us: float


def run(*, messages: int, repeat: int, console: Console) -> list[Target]:
    """Measure and print; what was wanted of it, and whether it was reached."""
    if MOSQUITTO is None:
        console.print("MQTT bridge: not measured, there is no mosquitto here")
        return []
    with (
        tempfile.TemporaryDirectory(prefix="streamgauge-bench-") as name,
        Mosquitto(Path(name) / "mosquitto") as mqtt,
        Broker(Path(name) / "broker") as broker,
    ):
        settings = Settings(
            kafka=Kafka(bootstrap=broker.bootstrap, topics=(new_topic(broker, partitions=4),)), mqtt=Mqtt(url=mqtt.url)
        )
        _bridge(settings, messages=0)  # makes the session known
        runs = []
        for number in range(repeat):
            console.print(f"run {number + 1} of {repeat}: publishing {messages:,} messages, then the bridge")
            _publish(mqtt.url, messages)
            runs.append(_bridge(settings, messages=messages))
    per_s, cpu_us = median(one.per_s for one in runs), median(one.cpu_us for one in runs)
    said = (
        f"MQTT bridge: {1e6 / cpu_us:,.0f} QoS 1 readings/s of one core ({cpu_us:.1f} µs CPU each), {per_s:,.0f}/s here"
    )
    targets = [(1e6 / cpu_us >= _WANTED, f"{said}, at least {_WANTED:,} wanted")]
    show_targets(targets, console)
    return targets


def _bridge(settings: Settings, *, messages: int) -> Bridged:
    """Bridge until so many are acknowledged; the clock runs from the first one on."""
    stop, done = Event(), _acknowledged() + messages
    began: list[tuple[float, float]] = []

    def watch() -> None:
        first = _received()
        while not stop.wait(0.002):
            if not began and (_received() > first or not messages):
                began.append((time.perf_counter(), time.process_time()))
            if _acknowledged() >= done and _told("streamgauge_mqtt_connected"):
                stop.set()

    watching = Thread(target=watch)
    watching.start()
    left = bridge_until(settings, stop)
    elapsed_s, cpu_s = time.perf_counter() - began[0][0], time.process_time() - began[0][1]
    watching.join()
    assert left == 0
    return Bridged(messages / elapsed_s, cpu_s / max(1, messages) * 1e6)


def _publish(url: str, messages: int) -> None:
    begin_ms = round(time.time() * 1000)

    def some(first: int) -> None:
        publish(
            url,
            (
                (f"pump-{n % _SENSORS}", b'{"value":%d.5,"timestamp":%d,"sensor_type":"vibration"}' % (n, begin_ms + n))
                for n in range(first, messages, _PUBLISHERS)
            ),
        )

    threads = [Thread(target=some, args=(first,)) for first in range(_PUBLISHERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _acknowledged() -> float:
    return _told("streamgauge_mqtt_acknowledged_total")


def _received() -> float:
    return _told("streamgauge_mqtt_messages_total", delivery="new")


def _told(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


def main(arguments: list[str] | None = None) -> None:
    """Missed targets are only said."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.mqtt", description=__doc__)
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--repeat", type=int, default=3, help="the median counts")
    options = parser.parse_args(arguments)
    run(messages=options.messages, repeat=options.repeat, console=wide_console())


if __name__ == "__main__":
    main()
