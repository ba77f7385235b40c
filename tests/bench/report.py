"""The table of a benchmark, the targets, and how it was measured."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tests.bench.engine import DETECTING, SETTINGS
from tests.bench.load import INTERVAL_S, PARTITIONS, Load
from tests.bench.measure import Measured, middle
from tests.bench.targets import show_targets

TITLES = {
    "floor": "floor: consume, decode",
    "engine": "streamgauge",
    "keeping_up": "streamgauge, keeping up",
    "detecting": "streamgauge + detectors",
    "detecting_keeping_up": "+ detectors, keeping up",
    "fold_window": "Bytewax fold_window",
}
"""Every job, by the name of its module, in the order of the table."""

KEEPING_UP = ("keeping_up", "detecting_keeping_up")
"""Jobs that are measured for their memory."""

UNREAD = 80_000
"""So many messages at most wait for a worker that keeps up: librdkafka asks for more while it has less than 10,000 of a
partition, and Kafka answers with up to 1 MB of each."""

_RATE, _OF_FLOOR, _FOLDS = 200_000, 0.6, 8.0
_PEAK_MB = {"keeping_up": 400, "detecting_keeping_up": 450}


def show(load: Load, runs: dict[str, list[Measured]], console: Console) -> None:
    """Print it all."""
    table = Table(title="One worker process, Kafka to closed windows", box=SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for title in ("readings/s", "spread", "CPU µs", "peak MB", "counted"):
        table.add_column(title, justify="right", no_wrap=True)
    for job, title in TITLES.items():
        rates, one = sorted(run.rate for run in runs[job]), middle(runs[job])
        timed = job not in KEEPING_UP
        table.add_row(
            title,
            f"{one.rate:,.0f}" if timed else "",
            f"± {(rates[-1] - rates[0]) / 2 / one.rate:.0%}" if timed else "",
            f"{one.cpu_s / one.readings * 1e6:.2f}",
            f"{_peak_mb(runs[job]):,.0f}",
            f"{one.counted_share:.2%}" if one.counted else "",
        )
    console.print(table)
    _show_targets(runs, console)
    _show_conditions(load, len(runs["engine"]), console)


def _show_targets(runs: dict[str, list[Measured]], console: Console) -> None:
    rate = {job: middle(runs[job]).rate for job in TITLES}
    of_floor, folds = rate["engine"] / rate["floor"], rate["engine"] / rate["fold_window"]
    targets = [
        (rate["engine"] >= _RATE, f"{rate['engine']:,.0f} readings/s, at least {_RATE:,} wanted"),
        (of_floor >= _OF_FLOOR, f"{of_floor:.0%} of the floor, at least {_OF_FLOOR:.0%} wanted"),
        (folds >= _FOLDS, f"{folds:.1f} x fold_window, at least {_FOLDS:g} x wanted"),
    ]
    for job in KEEPING_UP:
        peak_mb, wanted = _peak_mb(runs[job]), _PEAK_MB[job]
        targets.append((peak_mb < wanted, f"{peak_mb:,.0f} MB at most: {TITLES[job]}; less than {wanted} MB wanted"))
    show_targets(targets, console)


def _peak_mb(runs: list[Measured]) -> float:
    return max(run.peak_bytes for run in runs) / 1e6


def _show_conditions(load: Load, repeat: int, console: Console) -> None:
    windows = ", ".join(f"{w.name} ({', '.join(w.by)})" for w in SETTINGS.windows)
    packages = ", ".join(f"{name} {version(name)}" for name in ("bytewax", "confluent-kafka", "msgspec", "noida-db"))
    lines = (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} {platform.machine()} cores, shared with the broker; "
        f"load average {os.getloadavg()[0]:.1f}",
        f"Python {platform.python_version()}, {packages}",
        f"{load.messages:,} messages, one JSON reading each, keyed by sensor, in {PARTITIONS} partitions",
        f"{load.sensors:,} simulated sensors, a reading every {INTERVAL_S} s, in order of event time",
        f"windows as by default: {windows}",
        f"streamgauge and fold_window: recovery store on, epoch {SETTINGS.worker.epoch}, rows counted and "
        "dropped; quality checks, verdicts, ledger and quantiles are streamgauge's alone",
        f"with detectors: {', '.join(one.name for one in DETECTING.detectors)}",
        "fold_window: count, mean, min, max, stddev; given one message in 20; what it did not count it dropped as late",
        "CPU: of all threads, per reading; counted: share of the readings in the window that lost most",
        f"median of {repeat} interleaved run(s), each in a process of its own, after one over a few messages; "
        "start and end of the flow are part of the time",
        "memory: asked for a part, the embedded broker hands out all there is of a partition (0.4 kB a message); a "
        f"worker that keeps up has at most {UNREAD:,} messages waiting, as many as it would fetch ahead from Kafka",
    )
    console.print("", *lines, sep="\n", highlight=False, soft_wrap=True)
