"""The console over millions of readings: how long its pages wait for data, and how soon an anomaly is told.

python -m tests.bench.console
"""

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from flows.commands.common import wide_console
from infra.console.pages import DATASETS
from infra.embedded.process import ChildProcess
from tests.bench.targets import show_targets
from tests.dashboards.large import large
from tests.dashboards.seeding import Seeded

WANTED_MS = 300.0
WANTED_S = 2.0
_HOUR_MS = 3_600_000
_PATIENCE_S = 30.0
_WITH_READING = ("reading", "around", "features")
"""Beginnings of names of datasets that are about one reading."""


@dataclass(frozen=True, slots=True)
class Waited:
    """For one dataset: milliseconds of each request."""

    name: str
    ms: Sequence[float]

    @property
    def p50(self) -> float:
        """The middle."""
        return median(self.ms)

    @property
    def p95(self) -> float:
        """What 95 % stay below."""
        return quantiles(self.ms, n=20, method="inclusive")[-1]


def run(*, readings: int, repeat: int, console: Console) -> bool:
    """Measure and print; False when something was not answered."""
    with large(readings) as seeded, _serving(seeded) as client:
        ((stored, sensors),) = seeded.client.query("SELECT count(), uniq(sensor_id) FROM readings").result_rows
        hours = (seeded.to_ms - seeded.from_ms) / _HOUR_MS
        console.print(f"console: {stored:,} readings of {sensors:,} sensors and {hours:.1f} h")
        refused: list[str] = []
        found = [_ask(client, seeded, page, name, repeat, refused) for page, some in DATASETS.items() for name in some]
        told_s = [_told_after(client, seeded, number) for number in range(repeat)]
    _show([one for one in found if one.ms], told_s, console)
    for one in refused:
        console.print(f"[red]not answered: {one}[/]")
    return not refused


class _serving:
    """`streamgauge console` as a process of its own, and a client of it."""

    def __init__(self, seeded: Seeded) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="streamgauge-console-")
        home = Path(self._home.name)
        empty, log = home / "empty.toml", home / "console.log"
        empty.touch()
        self._process = ChildProcess(
            "console",
            [sys.executable, "-m", "flows.cli", "--config", str(empty), "console", "--listen", "127.0.0.1:0"],
            log=log,
            env={
                "STREAMGAUGE_DATA_DIR": str(home),
                "STREAMGAUGE_CLICKHOUSE__PORT": str(seeded.address.port),
                "STREAMGAUGE_CLICKHOUSE__DATABASE": seeded.address.database,
            },
            ready=lambda: "console: http" in log.read_text(),
            ready_timeout_s=60,
        )
        self._log = log

    def __enter__(self) -> httpx.Client:
        self._process.start()
        found = re.search(r"console: (http://\S+)/ ", self._log.read_text())
        assert found, self._log.read_text()
        self._client = httpx.Client(base_url=found[1], timeout=60)
        return self._client

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._process.stop()
        self._home.cleanup()


def _ask(client: httpx.Client, seeded: Seeded, page: str, name: str, repeat: int, refused: list[str]) -> Waited:
    """Over 15 minutes, an hour, and all that is stored; without filters, for a type, and for a sensor."""
    spans_ms = (_HOUR_MS // 4, _HOUR_MS, seeded.to_ms - seeded.from_ms)
    sensor = seeded.worst_sensor
    kind = sensor.partition("-")[0]
    filters: tuple[dict[str, str], ...] = ({}, {"type": kind}, {"sensor": sensor})
    if name.startswith(_WITH_READING):
        filters = ({"sensor": sensor, "time": str(seeded.to_ms - 300_000)},)
    waited = []
    for span_ms in spans_ms:
        for chosen in filters:
            asked = {"from": str(seeded.to_ms - span_ms), "to": str(seeded.to_ms)} | chosen
            for number in range(repeat + 1):
                began_s = time.perf_counter()
                answer = client.get(f"/api/{page}/{name}", params=asked)
                if answer.status_code >= 500:
                    refused.append(f"{page}/{name} {asked}: {answer.text[:200]}")
                if number and answer.status_code == 200:  # the first one warms up
                    waited.append((time.perf_counter() - began_s) * 1_000)
    return Waited(f"{page}/{name}", waited)


def _told_after(client: httpx.Client, seeded: Seeded, number: int) -> float:
    """Seconds from an anomaly's being stored until a page is told."""
    with client.stream("GET", "/api/stream") as stream:
        lines = stream.iter_lines()
        next(_events(lines, "numbers"))
        sensor = f"new-{number}"
        row = [sensor, datetime.now(UTC), "bench", "hall", "t", number, True]
        columns = ["sensor_id", "time", "sensor_type", "location", "topic", "offset", "is_anomaly"]
        seeded.client.insert("readings", [row], column_names=columns)
        stored_s = time.perf_counter()
        for told in _events(lines, "numbers", "anomalies"):
            if isinstance(told, list) and any(one["sensor_id"] == sensor for one in told):
                return time.perf_counter() - stored_s
            if time.perf_counter() - stored_s > _PATIENCE_S:
                break
    return float("inf")


def _events(lines: Iterator[str], *names: str) -> Iterator[Any]:
    for line in lines:
        if line.removeprefix("event: ") in names:
            yield json.loads(next(lines).removeprefix("data: "))


def _show(found: Sequence[Waited], told_s: Sequence[float], console: Console) -> None:
    table = Table("dataset", "p50 ms", "p95 ms", "slowest ms", "requests", box=SIMPLE_HEAD)
    for column in table.columns[1:]:
        column.justify = "right"
    for one in sorted(found, key=lambda one: one.p95, reverse=True):
        table.add_row(one.name, f"{one.p50:.0f}", f"{one.p95:.0f}", f"{max(one.ms):.0f}", str(len(one.ms)))
    console.print(table)
    every = Waited("all", [ms for one in found for ms in one.ms])
    slow = [one.name for one in found if one.p95 > WANTED_MS]
    show_targets(
        [
            (every.p95 < WANTED_MS, f"page data: p95 {every.p95:.0f} ms, p50 {every.p50:.0f} ms, below 300 ms wanted"),
            (not slow, f"datasets whose own p95 is above that: {', '.join(slow) or 'none'}"),
            (
                max(told_s) < WANTED_S,
                f"an anomaly is told {median(told_s):.2f} s after it was stored (median), {max(told_s):.2f} s at most, "
                "within 2 s wanted",
            ),
        ],
        console,
    )


def main() -> int:
    """1 when something was not answered."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.console", description=__doc__)
    parser.add_argument("--readings", type=int, default=5_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    return not run(readings=given.readings, repeat=given.repeat, console=wide_console())


if __name__ == "__main__":
    sys.exit(main())
