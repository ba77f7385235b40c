"""The engine against ../shared/event_time_spec.py: its readings, its windows, its oracle."""

import runpy
from pathlib import Path
from random import Random

import pytest

from flows.settings import Duration, EventTime, Settings, Window
from tests.ports import MemoryTables, Message, list_ports
from tests.property.cases import KAFKA_MS, START_MS, payload, reading_of
from tests.property.harness import Harness

SPEC = Path(__file__).parent.parent.parent.parent / "shared" / "event_time_spec.py"
ORIGIN_S = START_MS // 1000 // 300 * 300
"""The specification counts from 0, and a few of its times lie before that."""


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_specification(seed: int) -> None:
    if not SPEC.exists():
        pytest.skip("../shared/event_time_spec.py is not here")
    spec = runpy.run_path(str(SPEC))
    data = spec["readings"](Random(seed), n=300)
    settings = Settings(
        event_time=EventTime(lateness=Duration(spec["LATENESS_S"] * 1000)),
        windows=tuple(
            Window(name=f"{size} {hop}", size=Duration(size * 1000), hop=Duration(hop * 1000), by=("sensor_type",))
            for size, hop in spec["WINDOWS"]
        ),
        detectors=(),
    )
    partitions = {
        f"a/{p}": [Message(payload(reading_of(p, (ORIGIN_S + ts) * 1000, value)), KAFKA_MS) for ts, value in rows]
        for p, rows in enumerate(data)
    }
    tables = MemoryTables()
    ports = list_ports(partitions, tables, close_at_end=True)
    harness = Harness(settings, partitions, tables, rng=Random(seed), ports=ports)
    harness.run()
    harness.finish()
    wanted, late = spec["oracle"](data)
    assert sum(row["quality"] == "late" for row in tables.final("readings")) == late
    found = {}
    for row in tables.final("windows"):
        if row["count"]:
            key = (row["size_ms"] // 1000, row["hop_ms"] // 1000, row["start"] // 1000 - ORIGIN_S)
            found[key] = (row["count"], row["min"], row["max"], pytest.approx(row["mean"]))
    assert found == {key: (len(v), v[0], v[-1], sum(v) / len(v)) for key, v in wanted.items()}
