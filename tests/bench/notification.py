"""How long from a spike over MQTT to its alert over MQTT, while other sensors publish 5,000 readings a second.

All is on: MQTT broker, bridge, Kafka, a worker with all detectors, ClickHouse, notifier.

python -m tests.bench.notification --spikes 100
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles
from typing import Any

from rich.console import Console
from rich.table import Table

from flows.commands.common import wide_console
from infra.clickhouse import migrate
from infra.clickhouse.client import Address, connect
from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.embedded.process import ChildProcess
from infra.kafka.admin import create_topic, group_lag
from infra.kafka.client import Connection
from infra.mqtt.place import Place
from infra.mqtt.publisher import Publisher
from infra.mqtt.template import TopicTemplate
from tests.bench.targets import Target, show_targets
from tests.edge.device import heard
from tests.kafka import eventually, read
from tests.mqtt import MOSQUITTO, any_broker

_RATE, _SENSORS = 5_000, 1_000
_P50_MS, _P99_MS = 150, 600
_EVERY_S = 0.25
_WARM_S = 10.0
_READINGS, _ALERTS = "sensors.readings", "sensors.alerts"
_PARTITIONS = 4
_STAGES = ("MQTT -> Kafka", "-> verdict", "-> notification", "in all")


def run(*, spikes: int, rate: int, console: Console) -> list[Target]:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="streamgauge-bench-") as name, ExitStack() as stack:
        home = Path(name)
        mqtt = any_broker(home)
        mqtt.start()
        stack.callback(mqtt.stop)
        broker = stack.enter_context(Broker(home / "broker"))
        clickhouse = stack.enter_context(EmbeddedClickHouse(home / "clickhouse", log=home / "clickhouse.log"))
        connection = Connection(bootstrap=broker.bootstrap)
        for topic in (_READINGS, _ALERTS):
            create_topic(connection, topic, partitions=_PARTITIONS, config={"retention.ms": "-1"})
        migrate.init(connect(Address(port=clickhouse.port), wait_s=30))
        environment = {
            "STREAMGAUGE_DATA_DIR": name,
            "STREAMGAUGE_KAFKA__BOOTSTRAP": broker.bootstrap,
            "STREAMGAUGE_CLICKHOUSE__PORT": str(clickhouse.port),
            "STREAMGAUGE_WORKER__RECOVERY_DIR": f"{name}/recovery",
            "STREAMGAUGE_NOTIFY__RECORD": f"{name}/notify.sqlite",
            "STREAMGAUGE_MQTT__URL": mqtt.url,
            "STREAMGAUGE_MQTT__PROTOCOL": "auto" if MOSQUITTO else "3.1.1",
        }
        config = home / "streamgauge.toml"
        config.write_text('[[notify.channels]]\nname = "floor"\ntopic = "alerts/{sensor_id}/notification"\n')
        for words in (["run", "sensors"], ["ingest", "mqtt"], ["notify"]):
            stack.enter_context(_command(home, config, words, environment))
        assert eventually(lambda: "flow sensors runs" in (home / "run.log").read_text(), within_s=180)
        load = stack.enter_context(_load(home, environment, rate, seconds=_WARM_S + 5 + spikes * _EVERY_S))
        time.sleep(_WARM_S)
        console.print(f"{spikes} spikes beside {rate:,} readings/s; load of the machine {os.getloadavg()[0]:.1f}")
        published, told = _spikes(mqtt.url, mqtt.port, spikes)
        sent = load.process.wait()
        lag = sum(one.messages for one in group_lag(connection, "streamgauge", [_READINGS]))
        console.print(f"the simulator ended with {sent}; load {os.getloadavg()[0]:.1f}; readings not read yet: {lag:,}")
        stages = _stages(broker, published, told)
    _show(stages, console)
    p50, p99 = (round(_percentile(stages["in all"], share)) for share in (50, 99))
    missing = spikes - len(told)
    said = (
        f"from a spike over MQTT to its notification, at {rate:,} readings/s: p50 {p50} ms, p99 {p99} ms; "
        f"below {_P50_MS} and {_P99_MS} wanted" + (f"; {missing} of {spikes} did not come" if missing else "")
    )
    targets = [(p50 < _P50_MS and p99 < _P99_MS and not missing, said)]
    show_targets(targets, console)
    return targets


def _spikes(url: str, port: int, count: int) -> tuple[dict[str, float], dict[str, float]]:
    """By sensor, wall-clock milliseconds at which it was published and its notification came."""
    published: dict[str, float] = {}
    told: dict[str, float] = {}

    def note(topic: str, _: dict[str, Any]) -> None:
        told.setdefault(topic.split("/")[1], time.time() * 1000)

    place = Place(url=url, client_id="spikes", protocol="3.1.1")
    with heard(port, "alerts/+/notification", on_told=note):
        with Publisher(place, TopicTemplate("sensors/{sensor_id}/data")) as publisher:
            for number in range(count):
                name, now_ms = f"spike-{number}", time.time() * 1000
                spike = {
                    "value": 900.5,
                    "sensor_type": "temperature",
                    "location": f"l{number}",
                    "timestamp": int(now_ms),
                }
                published[name] = now_ms
                publisher.produce_many("", [(name.encode(), json.dumps(spike).encode(), 0)])
                publisher.flush()
                time.sleep(_EVERY_S)
        eventually(lambda: published.keys() <= told.keys(), within_s=30)
    return published, {name: at for name, at in told.items() if name in published}


def _stages(broker: Broker, published: dict[str, float], told: dict[str, float]) -> dict[str, list[float]]:
    """Milliseconds of each stage. Kafka's time stamps say when a message was handed over to it."""
    in_kafka: dict[str, int] = {}
    judged: dict[str, int] = {}
    for partition in range(_PARTITIONS):
        for one in read(broker.bootstrap, _READINGS, partition=partition):
            in_kafka.setdefault((one.key() or b"").decode(), one.timestamp()[1])
        for one in read(broker.bootstrap, _ALERTS, partition=partition):
            judged.setdefault(json.loads(one.value() or b"{}")["sensor_id"], one.timestamp()[1])
    found: dict[str, list[float]] = {stage: [] for stage in _STAGES}
    for name, at in told.items():
        steps = (published[name], in_kafka[name], judged[name], at)
        for stage, begin, end in zip(_STAGES, steps, steps[1:], strict=False):
            found[stage].append(end - begin)
        found["in all"].append(at - published[name])
    return found


class _Load:
    """The other sensors."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process

    def __enter__(self) -> "_Load":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def _load(home: Path, environment: dict[str, str], rate: int, *, seconds: float) -> _Load:
    words = ["--to", "mqtt", "--sensors", str(_SENSORS), "--rate", str(rate), "--seconds", f"{seconds:g}"]
    argv = [sys.executable, "-m", "flows.cli", "--config", os.devnull, "simulate", *words]
    with (home / "simulate.log").open("wb") as log:
        return _Load(subprocess.Popen(argv, env=os.environ | environment, stdout=log, stderr=log))


def _command(home: Path, config: Path, words: list[str], environment: dict[str, str]) -> ChildProcess:
    argv = [sys.executable, "-m", "flows.cli", "--config", str(config), *words]
    return ChildProcess(words[0], argv, log=home / f"{words[0]}.log", env=environment, stop_timeout_s=60)


def _percentile(values: list[float], share: int) -> float:
    return quantiles(values, n=100, method="inclusive")[share - 1] if len(values) > 1 else float("inf")


def _show(stages: dict[str, list[float]], console: Console) -> None:
    table = Table("stage", "p50, ms", "p90, ms", "p99, ms")
    for column in table.columns[1:]:
        column.justify = "right"
    for stage, values in stages.items():
        table.add_row(stage, *(f"{_percentile(values, share):,.0f}" for share in (50, 90, 99)))
    console.print(table)


def main(arguments: list[str] | None = None) -> None:
    """Missed targets are only said."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.notification", description=__doc__)
    parser.add_argument("--spikes", type=int, default=100)
    parser.add_argument("--rate", type=int, default=_RATE, help="readings a second of other sensors")
    options = parser.parse_args(arguments)
    run(spikes=options.spikes, rate=options.rate, console=wide_console())


if __name__ == "__main__":
    main()
