"""Recorded data, replayed through Kafka and a worker into ClickHouse, against a computation over the files alone."""

import csv
import gzip
import math
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from tests.kafka import new_topic
from tests.oracle import Window, WindowRow, window_rows
from tests.running import Site, create_tables

DATA = Path(__file__).parents[3] / "shared" / "data"
FILES = [
    DATA / "nab" / "realKnownCause" / "rogue_agent_key_hold.csv.gz",
    *(DATA / "skab" / "valve1" / f"{number}.csv.gz" for number in (0, 1)),
]
WINDOWS = (
    Window("1m", 60_000, 60_000, ("location", "sensor_type")),
    Window("5m/30s", 300_000, 30_000, ("location", "sensor_type")),
    Window("1m by sensor", 60_000, 60_000, ("sensor_id",)),
)
NOT_IN_WINDOWS = ("late", "after_idle")

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the recorded data beside the repository is absent")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, broker: Broker, clickhouse: EmbeddedClickHouse) -> Site:
    """The files replayed by the command, read to their end, all windows closed."""
    topic = new_topic(broker, partitions=4)
    site = Site(
        home=tmp_path_factory.mktemp("real"),
        bootstrap=broker.bootstrap,
        topic=topic,
        clickhouse_port=clickhouse.port,
        database=f"real_{topic[-8:]}",
    )
    create_tables(site)
    argv = [sys.executable, "-m", "flows.cli", "replay", *map(str, FILES)]
    replay = subprocess.run(argv, env=site.whole_environment, capture_output=True, text=True, check=False, timeout=60)
    assert replay.returncode == 0, replay.stderr
    site.run_to_end("--close")
    return site


def test_every_row_of_every_file_is_stored(site: Site) -> None:
    wanted = {sensor: Counter((time_ms, value) for time_ms, value in rows) for sensor, _, rows in _recorded()}
    stored: dict[str, Counter[tuple[int, float]]] = defaultdict(Counter)
    for row in site.stored("readings"):
        stored[row["sensor_id"]][_ms(row["time"]), row["value"]] += 1
    # The very same reading again is dropped as a duplicate.
    assert stored == {sensor: Counter(set(rows)) for sensor, rows in wanted.items()}
    ledger = Counter[str]()
    for row in site.stored("ledger"):
        ledger.update({name: row[name] for name in ("readings", "on_time", "late", "duplicates", "rejected")})
    assert ledger["readings"] == sum(rows.total() for rows in wanted.values())
    assert ledger["readings"] == ledger["on_time"] + ledger["late"] + ledger["duplicates"] + ledger["rejected"]
    assert ledger["duplicates"] == sum(rows.total() - len(rows) for rows in wanted.values())


def test_windows_equal_a_batch_computation(site: Site) -> None:
    on_time = [
        row | {"time_ms": _ms(row["time"])} for row in site.stored("readings") if row["quality"] not in NOT_IN_WINDOWS
    ]
    wanted = {row.key: row for window in WINDOWS for row in window_rows(on_time, window)}
    by = {window.name: window.by for window in WINDOWS}
    stored = {
        (row["window"], _ms(row["start"]), tuple(row[name] for name in by[row["window"]])): row
        for row in site.stored("windows", where="count > 0")
    }
    assert stored.keys() == wanted.keys()
    assert {name for name, _, _ in stored} == by.keys()
    for key, row in stored.items():
        _assert_equal(row, wanted[key])


def _assert_equal(row: dict[str, Any], wanted: WindowRow) -> None:
    """A stored window holds what the batch computation says."""
    for name in ("count", "min", "max", "first", "last", "anomaly_count"):
        assert row[name] == getattr(wanted, name), (name, row, wanted)
    for name in ("mean", "stddev"):
        assert math.isclose(row[name], getattr(wanted, name), rel_tol=1e-9, abs_tol=1e-9), (name, row, wanted)
    for name in ("p50", "p95"):
        assert math.isclose(row[name], getattr(wanted, name), rel_tol=0.01, abs_tol=1e-9), (name, row, wanted)


def _recorded() -> Iterator[tuple[str, str, list[tuple[int, float]]]]:
    """(sensor, type, (time, value) of each row) of the files, read without any code of ours."""
    for path in FILES:
        name = path.name.removesuffix(".csv.gz")
        with gzip.open(path, "rt") as lines:
            rows = list(csv.DictReader(lines))
        time = "timestamp" if "timestamp" in rows[0] else "datetime"
        for column in rows[0].keys() - {time, "anomaly", "changepoint"}:
            sensor = name if column == "value" else f"{name}.{column}"
            kind = name if column == "value" else column
            yield sensor, kind, [(_ms(datetime.fromisoformat(row[time])), float(row[column])) for row in rows]


def _ms(time: datetime) -> int:
    return round(time.replace(tzinfo=UTC).timestamp() * 1000)
