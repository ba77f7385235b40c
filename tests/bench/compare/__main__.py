"""The same one-minute windows by streamgauge and by another engine, over the same topics of the embedded broker.

    python -m venv /tmp/quix && /tmp/quix/bin/pip install quixstreams
    python -m tests.bench.compare --quix /tmp/quix/bin/python

Told is processor time a reading, the difference of a long and a short run, so that starting does not count and other
work on the machine counts little; and which share of the readings, of windows that could end, is in windows.
"""

import argparse
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.table import Table

from flows.commands.common import wide_console
from infra.embedded.broker import Broker
from infra.kafka.client import Connection
from tests.bench.load import Load
from tests.bench.measure import Input, measure_apart

_WINDOW_MS, _GRACE_MS = 60_000, 10_000
_SHORT = 10_000


class Ran(NamedTuple):
    """counted: readings in windows that were given out."""

    cpu_s: float
    counted: float
    peak_mb: float


def closing(load: Load) -> int:
    """Readings of windows that event time has passed, by the grace, when the stream ends."""
    stamps = [stamp for step in load.steps() for _, _, stamp in step]
    last = max(stamps) - _GRACE_MS
    return sum((stamp // _WINDOW_MS + 1) * _WINDOW_MS <= last for stamp in stamps)


def ours(bootstrap: str, topic: str, messages: int, home: str) -> Ran:
    """In a process of its own; closes the last windows, too."""
    one = measure_apart("compare.ours", None, Input(bootstrap, topic, messages, home))
    return Ran(one.cpu_s, one.counted["1m"], one.peak_bytes / 1e6)


def quix(python: str) -> Callable[[str, str, int, str], Ran]:
    """By the interpreter of an environment that has quixstreams."""

    def run(bootstrap: str, topic: str, _: int, home: str) -> Ran:
        command = [python, str(Path(__file__).with_name("quix.py")), bootstrap, topic, home]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=900)
        told = json.loads(done.stdout.splitlines()[-1])
        return Ran(told["cpu_s"], told["counted"], told["peak_kb"] / 1e3)

    return run


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.compare", description=__doc__)
    parser.add_argument("--quix", help="a Python that has quixstreams", required=True)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--sensors", type=int, default=1_000)
    options = parser.parse_args()
    console = wide_console()
    machine = f"{os.cpu_count()} {platform.machine()} cores, load average {os.getloadavg()[0]:.0f}"
    console.print(f"{datetime.now(UTC):%Y-%m-%d}, {machine}, Python {platform.python_version()}")
    console.print(f"{options.messages:,} JSON readings of {options.sensors:,} sensors, noida-db {version('noida-db')}")
    table = Table("engine", "CPU µs a reading", "in windows", "peak MB", box=SIMPLE_HEAD)
    long, short = (Load(messages=n, sensors=options.sensors) for n in (options.messages, _SHORT))
    with tempfile.TemporaryDirectory(prefix="streamgauge-compare-") as name, Broker(Path(name) / "broker") as broker:
        long.produce(Connection(bootstrap=broker.bootstrap), {"long": long.messages, "short": short.messages})
        for title, run, closes_all in (("streamgauge", ours, True), ("Quix Streams", quix(options.quix), False)):
            one, other = (
                run(broker.bootstrap, topic, load.messages, tempfile.mkdtemp(dir=name))
                for topic, load in (("short", short), ("long", long))
            )
            each_us = (other.cpu_s - one.cpu_s) / (long.messages - short.messages) * 1e6
            share = other.counted / (long.messages if closes_all else closing(long))
            table.add_row(title, f"{each_us:.1f}", f"{share:.1%}", f"{other.peak_mb:,.0f}")
    console.print(table)


if __name__ == "__main__":
    main()
