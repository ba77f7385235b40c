"""A small plant as plain rows, in ClickHouse and in Python, for pages to be compared with."""

import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from clickhouse_connect.driver.client import Client

from infra.clickhouse.client import Address
from infra.console.dataset import Ask
from infra.console.knowledge import Knowledge
from infra.console.pages import DATASETS
from infra.console.reader import Reader
from infra.console.scope import read_scope
from infra.console.table import Table

Row = dict[str, Any]

BEGIN_MS = 1_767_225_600_000
STEP_MS = 5_000
ROUNDS = 240
END_MS = BEGIN_MS + ROUNDS * STEP_MS
SENSORS = {
    f"{kind}-{place}-{number}": (kind, place)
    for kind, place, number in (
        ("heat", "hall", 1),
        ("heat", "hall", 2),
        ("heat", "roof", 1),
        ("power", "hall", 1),
        ("power", "roof", 1),
    )
}
KNOWN = Knowledge(roles={"z": "rule", "tree": "model", "new": "challenger"}, thresholds={"z": 3.0})


def utc(ms: int | None) -> datetime | None:
    """As the client takes times."""
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)


def readings(seed: int = 3) -> list[Row]:
    """Of all sensors, with flags by chance and faults of half a minute."""
    chance = random.Random(seed)
    rows: list[Row] = []
    for sensor, (kind, place) in SENSORS.items():
        fault_at = chance.randrange(40, 180)
        for number in range(ROUNDS):
            fault = ("spike", "stuck")[chance.random() < 0.5] if number == fault_at + 20 else ""
            fault = fault or ("drift" if fault_at <= number < fault_at + 6 else "")
            label = fault or ("normal" if place == "hall" else "")
            flags = [name for name, share in (("z", 0.05), ("tree", 0.04), ("new", 0.03)) if chance.random() < share]
            if fault and number > fault_at + 1:
                flags = ["z", "tree"]
            rows.append(
                {
                    "sensor_id": sensor,
                    "time": BEGIN_MS + number * STEP_MS + len(rows) % 7,
                    "topic": "t",
                    "offset": len(rows),
                    "sensor_type": kind,
                    "location": place,
                    "unit": "C",
                    "value": chance.gauss(20 if kind == "heat" else 300, 2),
                    "label": label,
                    "quality": "ok",
                    "score": chance.choice([0.0, 1.25, math.nan]),
                    "is_anomaly": "tree" in flags,
                    "rule_anomaly": "z" in flags,
                    "model_anomaly": "tree" in flags,
                    "flagged_by": flags,
                    "scores": {"z": chance.random() * 4, "tree": chance.random(), "quiet": math.nan},
                    "surprises": {"tree": chance.random() * 14, "new": chance.choice([math.nan, 2.0])},
                    "expected": 20.0,
                    "expected_low": 18.0,
                    "expected_high": 22.0,
                }
            )
    return rows


def windows(rows: Sequence[Row], *, by_sensor: bool, size_ms: int = 60_000) -> list[Row]:
    """Tumbling windows of them, by location and type or by sensor."""
    groups: dict[tuple[str, str, str, int], list[Row]] = defaultdict(list)
    for row in rows:
        key = (row["sensor_id"], "", "") if by_sensor else ("", row["location"], row["sensor_type"])
        groups[(*key, row["time"] // size_ms * size_ms)].append(row)
    found = []
    for (sensor, place, kind, start), some in groups.items():
        values = [row["value"] for row in some]
        mean = sum(values) / len(values)
        found.append(
            {
                "window": "1m by sensor" if by_sensor else "1m",
                "start": start,
                "end": start + size_ms,
                "size_ms": size_ms,
                "hop_ms": size_ms,
                "sensor_id": sensor,
                "location": place,
                "sensor_type": kind,
                "count": len(some),
                "mean": mean,
                "stddev": math.sqrt(sum((value - mean) ** 2 for value in values) / len(values)),
                "min": min(values),
                "max": max(values),
                "p50": sorted(values)[len(values) // 2],
                "anomaly_count": sum(row["is_anomaly"] for row in some),
                "expected_count": 13.0 * len({row["sensor_id"] for row in some}),
                "completeness": 1.0,
                "complete": True,
            }
        )
    return found


_TIMES = {"time", "start", "end", "started_at", "fired_at", "ended_at", "updated_at", "at", "since", "until"}


def insert(client: Client, table: str, rows: Sequence[Row]) -> None:
    """Twice, as a flow does that is restarted."""
    if not rows:
        return
    names = list(rows[0])
    values = [[utc(row[name]) if name in _TIMES else row[name] for name in names] for row in rows]
    for _ in range(2):
        client.insert(table, values, column_names=names)


class Pages:
    """Asks datasets, over the whole plant unless told otherwise."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def ask(self, page: str, dataset: str, *, now_ms: int = END_MS, **given: Any) -> Table:
        """What a page would get."""
        found = {"from": str(BEGIN_MS), "to": str(END_MS)} | {name.rstrip("_"): value for name, value in given.items()}
        texts = {name: list(value) if isinstance(value, list) else [str(value)] for name, value in found.items()}
        scope = read_scope(texts, now_ms=now_ms)
        ask = Ask(scope=scope, reader=self.reader, given=texts, now_ms=now_ms, known=KNOWN)
        return DATASETS[page][dataset].make(ask)


@contextmanager
def pages(address: Address) -> Iterator[Pages]:
    """Over a database."""
    reader = Reader(address, at_a_time=1)
    try:
        yield Pages(reader)
    finally:
        reader.close()
