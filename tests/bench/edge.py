"""What a whole pipeline on one device takes: memory of its processes, with 1,000 sensors over MQTT, all detectors on.

python -m tests.bench.edge --seconds 30
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from flows.commands.common import wide_console
from infra.embedded.process import ChildProcess
from infra.kafka.admin import group_lag
from infra.kafka.client import Connection
from infra.kafka.producer import Producer
from infra.simulate.config import SimulationConfig
from infra.simulate.runner import history
from infra.simulate.simulation import Simulation
from tests.bench.targets import Target, show_targets
from tests.mqtt import free_port

_WANTED_MB = 500
_RATE = 1_000
_SAMPLE_S = 0.25
_SETTLE_S = 5.0
_NAMES = {
    "--part worker": "worker: windows, detectors",
    "--part gateway": "gateway: MQTT, alerts, forwarding",
    "noida-db": "log: embedded broker",
    "infra.embedded.mqtt": "MQTT broker: amqtt",
    "infra.embedded.clickhouse": "ClickHouse: embedded",
    "infra.embedded.endpoint": "ClickHouse: embedded",
    "watchdog": "watchdogs",
    "multiprocessing": "fits forests: scikit-learn",
    " edge --": "keeper of the others",
}


class Memory(NamedTuple):
    """Megabytes. pss: what several processes share is divided among them."""

    rss: float
    pss: float


class Sampled:
    """The moment in which all processes together took most."""

    def __init__(self) -> None:
        self.worst: dict[str, Memory] = {}

    @property
    def total(self) -> Memory:
        """Of all."""
        return Memory(sum(one.rss for one in self.worst.values()), sum(one.pss for one in self.worst.values()))

    def look(self, pid: int) -> None:
        """At a process and all it has started."""
        now: dict[str, Memory] = {}
        for one in _tree(pid):
            with suppress(OSError, IndexError):
                command = Path(f"/proc/{one}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                memory = _memory(one)
                name = next((name for mark, name in _NAMES.items() if mark in command), "others")
                before = now.get(name, Memory(0, 0))
                now[name] = Memory(before.rss + memory.rss, before.pss + memory.pss)
        if sum(one.pss for one in now.values()) > self.total.pss:
            self.worst = now


def run(*, seconds: float, past_s: int, console: Console) -> list[Target]:
    """Measure and print, without the store, which is what is wanted, and with it."""
    targets = []
    for words in (["--no-store"], ["--store"]):
        titled = "without" if words == ["--no-store"] else "with"
        console.print(f"a device {titled} a store: {_RATE:,} sensors, {past_s} s of past, then {seconds:.0f} s live")
        steady, catching_up = _measure(words, seconds=seconds, past_s=past_s)
        _show(steady, console)
        total, most = steady.total, catching_up.total
        said = (
            f"device {titled} a store: {total.pss:,.0f} MB of memory (PSS; {total.rss:,.0f} MB as RSS, where what is "
            f"shared counts several times); {most.pss:,.0f} MB (RSS {most.rss:,.0f}) while it caught up"
        )
        if words == ["--no-store"]:
            targets.append((total.pss < _WANTED_MB, f"{said}; less than {_WANTED_MB} MB wanted"))
        else:
            console.print(said, soft_wrap=True)
    show_targets(targets, console)
    return targets


def _measure(words: list[str], *, seconds: float, past_s: int) -> tuple[Sampled, Sampled]:
    """While it keeps up, and while it caught up with the past."""
    simulation = Simulation(SimulationConfig(sensors=_RATE, rate=float(_RATE)))
    with tempfile.TemporaryDirectory(prefix="streamgauge-bench-") as name:
        home, now_ms = Path(name), round(time.time() * 1000)
        environment = {
            "STREAMGAUGE_DATA_DIR": name,
            "STREAMGAUGE_EDGE__LISTEN": f"127.0.0.1:{free_port()}",
        }
        catching_up, steady = Sampled(), Sampled()
        log = home / "device.log"
        argv = [sys.executable, "-m", "flows.cli", "--config", os.devnull, "edge", *words]
        device = ChildProcess(
            "edge",
            argv,
            log=log,
            env=environment,
            ready=lambda: "to try" in log.read_text(),
            ready_timeout_s=300,
            stop_timeout_s=120,
        )
        with device:
            connection = Connection(bootstrap=json.loads((home / "endpoints.json").read_text())["bootstrap"])
            with _sampling(device.pid, catching_up):
                with Producer(connection) as producer:
                    history(
                        simulation, producer, topic="sensors.readings", from_ms=now_ms - past_s * 1000, to_ms=now_ms
                    )
                while sum(one.messages for one in group_lag(connection, "streamgauge", ["sensors.readings"])):
                    time.sleep(0.5)
            _live(environment, seconds=_SETTLE_S)
            with _sampling(device.pid, steady):
                _live(environment, seconds=seconds)
    return steady, catching_up


def _live(environment: dict[str, str], *, seconds: float) -> None:
    words = ["--to", "mqtt", "--sensors", str(_RATE), "--rate", str(_RATE), "--seconds", f"{seconds:g}"]
    argv = [sys.executable, "-m", "flows.cli", "--config", os.devnull, "simulate", *words]
    subprocess.run(argv, env=os.environ | environment, check=True, capture_output=True)


@contextmanager
def _sampling(pid: int, sampled: Sampled) -> Iterator[None]:
    ended = Event()

    def look() -> None:
        while not ended.wait(_SAMPLE_S):
            sampled.look(pid)

    thread = Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _tree(pid: int) -> list[int]:
    found, children = [pid], []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += [int(one) for one in (task / "children").read_text().split()]
    for child in children:
        found += _tree(child)
    return found


def _memory(pid: int) -> Memory:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return Memory(kilobytes["Rss"] / 1024, kilobytes["Pss"] / 1024)


def _show(sampled: Sampled, console: Console) -> None:
    table = Table("process", "PSS, MB", "RSS, MB")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, memory in sorted(sampled.worst.items(), key=lambda one: -one[1].pss):
        table.add_row(name, f"{memory.pss:,.0f}", f"{memory.rss:,.0f}")
    table.add_row("all", f"{sampled.total.pss:,.0f}", f"{sampled.total.rss:,.0f}", style="bold")
    console.print(table)


def main(arguments: list[str] | None = None) -> None:
    """Missed targets are only said."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.edge", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30, help="live, over MQTT")
    parser.add_argument("--past", type=int, default=300, help="seconds of it, at full speed")
    options = parser.parse_args(arguments)
    run(seconds=options.seconds, past_s=options.past, console=wide_console())


if __name__ == "__main__":
    main()
