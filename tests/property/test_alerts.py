"""Alerts are those of a plain computation over all readings, however these are cut, interleaved and interrupted."""

from random import Random
from typing import Any

import hypothesis.strategies as st
import msgspec
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from flows.settings import Alert, Settings
from tests.operators.engine import alert
from tests.ports import ABORT, MemoryTables
from tests.property.alert_oracle import in_order, of_locations, of_sensors, of_windows, rows_of
from tests.property.cases import SOURCES, Case, Fault, Partition, aborts, cases, settings
from tests.property.compare import same_tables
from tests.property.harness import Harness
from tests.property.test_engine import bounded, seeds

some = hypothesis_settings(bounded, max_examples=60)
PANE_MS = 5_000


ABOVE = alert("above", "value", above=20.0, clear=0.0, lasts=2, keep=3, cool=10)
BELOW = alert("below", "value", below=-1.0)
WINDOW = alert("window", "window:tumbling.max", above=20.0, lasts=20, keep=10)
GROUPED: dict[str, Any] = {"group_by": "location", "min_sensors": 2}
GROUP = alert("group", "value", above=0.0, min_share=0.6, lasts=1, keep=4, cool=6, **GROUPED)
SILENT = alert("silent", "silent", lasts=8)
SILENT_GROUP = alert("silent group", "silent", lasts=2, **GROUPED)
RULES = (ABOVE, BELOW, WINDOW, GROUP, SILENT, SILENT_GROUP)


def config(shards: int, **quality: Any) -> Settings:
    return msgspec.structs.replace(settings(shards=shards, **quality), alerts=RULES)


def run(case: Case, config: Settings, seed: int) -> tuple[MemoryTables, int]:
    """The tables, and up to where groups were judged."""
    tables = MemoryTables()
    harness = Harness(config, case.partitions, tables, rng=Random(seed))
    harness.run()
    harness.finish()
    return tables, harness.watermark_ms() // PANE_MS * PANE_MS


def told(tables: MemoryTables, rule: Alert) -> set[tuple[Any, ...]]:
    columns = ("alert_id", "started_at", "fired_at", "ended_at", "state")
    return {tuple(row[name] for name in columns) for row in tables.final("alerts") if row["rule"] == rule.name}


@some
@given(case=cases(), faults=aborts, shards=st.integers(1, 3), seed=seeds)
def test_alerts_are_those_of_a_plain_computation(case: Case, faults: list[Fault], shards: int, seed: int) -> None:
    never_evicted = config(shards, evict_after=0)
    once, _ = run(case, never_evicted, seed)
    for rule in (ABOVE, BELOW):
        found = of_sensors(once, rule)
        assert told(once, rule) == {row for sensor, spans in found.items() for row in rows_of(rule, sensor, spans)}
    if case.never_idle:
        windows = of_windows(once, WINDOW)
        assert told(once, WINDOW) == {row for group, spans in windows.items() for row in rows_of(WINDOW, group, spans)}
    again, _ = run(case.with_faults(faults), never_evicted, seed + 1)
    same_tables(once, again)


def in_step(rng: Random) -> Case:
    """Sensors that stay where they are, every reading on time and in order, values that rise and fall for a while."""
    case = Case()
    for source in SOURCES:
        level, entries = 0.0, []
        for _ in range(150):
            level = rng.choice((level, level, level, rng.uniform(-3, 3)))
            step_ms = rng.randint(1, 900)
            entries.append(("new", rng.randint(0, 4), step_ms, level + rng.uniform(-2, 2), False))
        Partition(case, source).fill(entries)
    return case


@hypothesis_settings(bounded, max_examples=25)
@given(seed=seeds, shards=st.integers(1, 3))
def test_alerts_on_groups_are_those_of_a_plain_computation(seed: int, shards: int) -> None:
    rng = Random(seed)
    case = in_step(rng)
    once, until_ms = run(case, config(shards, evict_after=0), seed)
    joined_ms = {sensor: -(-rows[0]["time"] // PANE_MS) * PANE_MS for sensor, rows in in_order(once).items()}
    found = of_locations(once, GROUP, joined_ms, until_ms=until_ms)
    assert told(once, GROUP) == {
        row for location, spans in found.items() for row in rows_of(GROUP, ("location", location), spans)
    }
    faults = [(rng.randrange(3), rng.randrange(150), ABORT) for _ in range(2)]
    again, _ = run(case.with_faults(faults), config(shards, evict_after=0), seed + 1)
    same_tables(once, again)


@some
@given(case=cases(), faults=aborts, shards=st.integers(1, 3), seed=seeds)
def test_sensors_that_are_forgotten_change_no_alert(case: Case, faults: list[Fault], shards: int, seed: int) -> None:
    """Eviction ends what is open, at the same time whatever happens."""
    once, _ = run(case, config(shards), seed)
    again, _ = run(case.with_faults(faults), config(shards), seed + 1)
    same_tables(once, again)
