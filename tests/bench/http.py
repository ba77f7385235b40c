"""Readings over HTTP into Kafka: how many a second one process of the service takes in.

python -m tests.bench.http
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import msgspec
from confluent_kafka import Consumer, TopicPartition
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from flows.commands.common import wide_console
from infra.embedded.broker import Broker
from infra.embedded.process import ChildProcess
from infra.kafka.client import Connection
from tests.bench.http_load import READINGS
from tests.bench.load import PARTITIONS, new_topics
from tests.bench.targets import show_targets

_CONNECTIONS = {"ndjson": 8, "single": 64}
_WARM = {"ndjson": 20, "single": 500}
_PER_REQUEST = {"ndjson": READINGS, "single": 1}
_WANTED = {"ndjson": 300_000, "single": 5_000}
_TITLES = {"ndjson": f"NDJSON, {READINGS:,} readings a request", "single": "one reading a request"}
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Taken:
    """One run. seconds: until Kafka had confirmed all. cpu_s: of the service, all its threads. stored: in Kafka."""

    readings: int
    seconds: float
    cpu_s: float
    stored: int
    again: int

    @property
    def rate(self) -> float:
        """Readings a second."""
        return self.readings / self.seconds

    @property
    def core_rate(self) -> float:
        """Readings per second of processor time: what one core takes in."""
        return self.readings / self.cpu_s


def run(*, requests: dict[str, int], repeat: int, console: Console) -> bool:
    """Measure and print; False when Kafka does not hold what was sent."""
    runs: dict[str, list[Taken]] = {form: [] for form in requests}
    with tempfile.TemporaryDirectory(prefix="streamgauge-bench-") as name, Broker(Path(name) / "broker") as broker:
        for number in range(repeat):
            for form, count in requests.items():
                console.print(f"run {number + 1} of {repeat}: {_TITLES[form]}")
                runs[form].append(_measure(broker, Path(name), form, count, f"http-{form}-{number}"))
    _show(runs, console)
    return all(one.stored == one.readings for some in runs.values() for one in some)


def _measure(broker: Broker, home: Path, form: str, count: int, topic: str) -> Taken:
    new_topics(Connection(bootstrap=broker.bootstrap), topic)
    log = home / f"{topic}.log"
    empty = home / "empty.toml"
    empty.touch()
    service = ChildProcess(
        "http",
        [*_PROGRAM, "--config", str(empty), "ingest", "http", "--listen", "127.0.0.1:0"],
        log=log,
        env={"STREAMGAUGE_KAFKA__BOOTSTRAP": broker.bootstrap, "STREAMGAUGE_KAFKA__TOPICS": f'["{topic}"]'},
        ready=lambda: "/readings  ->" in log.read_text(),
        ready_timeout_s=60,
        stop_timeout_s=60,
    )
    with service:
        found = re.search(r"http://127\.0\.0\.1:(\d+)/readings", log.read_text())
        assert found, log.read_text()
        port = int(found[1])
        _load(port, form, _WARM[form])
        _all_confirmed(port)
        before_s, began_s = _cpu_s(service.pid), time.perf_counter()
        told = _load(port, form, count)
        # The client's own start is not part of it, what Kafka still has to confirm is.
        client_s = time.perf_counter()
        _all_confirmed(port)
        ended_s = time.perf_counter()
        seconds, cpu_s = told["seconds"] + ended_s - client_s, _cpu_s(service.pid) - before_s
        assert ended_s - began_s >= seconds
    readings = count * _PER_REQUEST[form]
    stored = _stored(broker.bootstrap, topic) - _WARM[form] * _PER_REQUEST[form]
    return Taken(readings, seconds, cpu_s, stored, round(told["again"]))


_PROGRAM = [sys.executable, "-m", "flows.cli"]


def _load(port: int, form: str, count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.http_load", *map(str, (port, form, count, _CONNECTIONS[form]))]
    told: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=600).stdout)
    return told


def _all_confirmed(port: int) -> None:
    """Until nothing waits for Kafka. The gauge is set every few milliseconds, so it is asked twice."""
    quiet = 0
    while quiet < 2:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as page:
            text = page.read().decode()
        quiet = quiet + 1 if "\nstreamgauge_http_waiting_bytes 0.0\n" in text else 0
        time.sleep(0.005)


def _cpu_s(pid: int) -> float:
    """Processor time of a process so far, all threads (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _stored(bootstrap: str, topic: str) -> int:
    """Readings in a topic."""
    count = 0
    with Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "enable.auto.commit": False}) as consumer:
        for partition in range(PARTITIONS):
            place = TopicPartition(topic, partition, 0)
            _, end = consumer.get_watermark_offsets(place, timeout=10)
            consumer.assign([place])
            left = end
            while left > 0:
                for message in consumer.consume(min(left, 1_000), 1.0):
                    assert message.error() is None, message.error()
                    content = msgspec.json.decode(
                        message.value() or b"", type=list[msgspec.Raw] | dict[str, msgspec.Raw]
                    )
                    count += len(content) if isinstance(content, list) else 1
                    left -= 1
    return count


def _show(runs: dict[str, list[Taken]], console: Console) -> None:
    table = Table(title="Readings over HTTP into Kafka, one process of the service", box=SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for title in ("readings/s", "CPU µs", "per core and s", "in Kafka", "sent again"):
        table.add_column(title, justify="right", no_wrap=True)
    targets = []
    for form, some in runs.items():
        one = sorted(some, key=lambda each: each.core_rate)[(len(some) - 1) // 2]
        told = (f"{one.rate:,.0f}", f"{one.cpu_s / one.readings * 1e6:.2f}", f"{one.core_rate:,.0f}")
        table.add_row(_TITLES[form], *told, f"{one.stored / one.readings:.2%}", f"{one.again:,}")
        wanted = _WANTED[form]
        targets.append(
            (one.core_rate >= wanted, f"{one.core_rate:,.0f} on one core, at least {wanted:,} wanted: {form}")
        )
    console.print(table)
    show_targets(targets, console)
    console.print(
        f"per core: by the processor time of the service, all its threads; {os.cpu_count()} cores are shared with the "
        f"broker and the client, load average {os.getloadavg()[0]:.1f}; median run; until Kafka had confirmed all",
        highlight=False,
        soft_wrap=True,
    )


def main(arguments: list[str] | None = None) -> None:
    """Exit code 1 when readings were lost or doubled; missed targets are only said."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.http", description=__doc__)
    parser.add_argument("--readings", type=int, default=2_000_000, help="as NDJSON")
    parser.add_argument("--posts", type=int, default=30_000, help="of one reading each")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each; the median counts")
    options = parser.parse_args(arguments)
    requests = {"ndjson": max(1, options.readings // READINGS), "single": options.posts}
    sys.exit(not run(requests=requests, repeat=options.repeat, console=wide_console()))


if __name__ == "__main__":
    main()
