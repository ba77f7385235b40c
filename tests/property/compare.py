"""Tables that a flow has written, against the oracle and against each other."""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import isnan, nan
from typing import Any

import pytest

from flows.settings import Settings
from tests import oracle
from tests.oracle import Reading, WindowRow
from tests.ports import MemoryTables
from tests.property.cases import HORIZON_MS, LATENESS_MS, Case

ON_TIME = ("ok", "out_of_order", "conflict")
EXACT = ("count", "min", "max", "first", "last", "anomaly_count")
ROUNDED = ("mean", "stddev", "expected_count", "completeness")
"""Columns of `windows` whose last digits depend on the order in which partials are merged."""


def check_against_oracle(tables: MemoryTables, case: Case, settings: Settings, *, closed_ms: int | None = None) -> None:
    """Every table is what the oracle computes; closed_ms says up to where windows are closed if not the oracle."""
    expected = oracle.expected(
        case.readings.values(),
        windows=windows_of(settings),
        lateness_ms=LATENESS_MS,
        dedup_horizon_ms=HORIZON_MS,
    )
    stored = tables.final("readings")
    assert {identity(row): verdict(row["quality"]) for row in stored} == {
        identity(row.reading): row.verdict for row in expected.judged if row.verdict != "duplicate"
    }
    conflicts = {identity(row.reading) for row in expected.judged if row.conflict and row.verdict == "on_time"}
    assert {identity(row) for row in stored if row["quality"] == "conflict"} == conflicts
    if closed_ms is None:
        closed_ms = max((row.end_ms for row in expected.closed), default=0) if case.never_idle else 0
    check_windows(tables, settings, closed_ms=closed_ms)
    check_ledger(tables, case)
    check_dead_letters(tables, case)


def windows_of(settings: Settings) -> list[oracle.Window]:
    """As the oracle takes them."""
    return [oracle.Window(w.name, w.size.ms, w.hop_ms, tuple(sorted(w.by))) for w in settings.windows]


def identity(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What names a reading."""
    time = row["time_ms"] if "time_ms" in row else row["time"]
    return row["sensor_id"], time, row["topic"], row["partition"], row["offset"], row["idx"]


def verdict(quality: str) -> str:
    """The oracle's word for a stored quality."""
    return "on_time" if quality in ON_TIME else "late" if quality == "late" else quality


def check_windows(tables: MemoryTables, settings: Settings, *, closed_ms: int) -> None:
    """The windows with readings are those of the readings stored as on time; none else is closed up to closed_ms."""
    on_time = _on_time(tables)
    for window in windows_of(settings):
        wanted = {row.key: row for row in oracle.window_rows(on_time, window) if row.end_ms <= closed_ms}
        found = {key: row for key, row in _found(tables, window).items() if row["end"] <= closed_ms}
        assert found.keys() == wanted.keys()
        for key, row in wanted.items():
            _check_window(found[key], row)


def check_complete_windows(tables: MemoryTables, settings: Settings) -> None:
    """Rows that say they are complete are; the others may lack what came before the flow looked."""
    on_time = _on_time(tables)
    for window in windows_of(settings):
        wanted = {row.key: row for row in oracle.window_rows(on_time, window)}
        for key, row in _found(tables, window).items():
            if row["complete"]:
                _check_window(row, wanted[key])


def _on_time(tables: MemoryTables) -> list[Reading]:
    return [
        {"asset_id": "", "unit": "", **row, "time_ms": row["time"]}
        for row in tables.final("readings")
        if row["quality"] in ON_TIME
    ]


def _found(tables: MemoryTables, window: oracle.Window) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {
        (row["window"], row["start"], tuple(row[name] for name in window.by)): row
        for row in tables.final("windows")
        if row["window"] == window.name and row["count"]
    }


def _check_window(found: Mapping[str, Any], wanted: WindowRow) -> None:
    for name in EXACT:
        assert found[name] == getattr(wanted, name), (name, wanted.key)
    for name in ("mean", "stddev"):
        assert found[name] == pytest.approx(getattr(wanted, name), rel=1e-9, abs=1e-6), (name, wanted.key)
    for name in ("p50", "p95"):
        exact = min(max(getattr(wanted, name), -(2.0**64)), 2.0**64)  # the sketch ends there
        exact = min(max(exact, wanted.min), wanted.max)
        assert found[name] == pytest.approx(exact, rel=0.02 if abs(exact) == 2.0**64 else 0.01, abs=1e-12)


def check_ledger(tables: MemoryTables, case: Case) -> None:
    """Per partition: readings = on time + late + duplicates + rejected, and as many as were sent and stored."""
    counts: dict[tuple[str, int], Counter[str]] = {}
    columns = ("readings", "rejected", "messages", "on_time", "late", "after_idle", "duplicates", "conflicts")
    for row in tables.final("ledger"):
        counter = counts.setdefault((row["topic"], row["partition"]), Counter())
        counter.update({name: row.get(name, 0) for name in columns})
    for source, items in case.partitions.items():
        topic, _, number = source.rpartition("/")
        count = counts.get((topic, int(number)), Counter())
        rejected = sum(1 for letter in case.refused if letter[:2] == (topic, int(number)))
        assert count["messages"] == sum(1 for item in items if hasattr(item, "payload"))
        assert count["rejected"] == rejected
        assert count["readings"] == len(case.readings[source]) + rejected
        assert count["readings"] == count["on_time"] + count["late"] + count["duplicates"] + rejected
        stored = Counter(
            row["quality"]
            for row in tables.final("readings")
            if (row["topic"], row["partition"]) == (topic, int(number))
        )
        assert count["on_time"] == sum(stored[name] for name in ON_TIME)
        assert count["late"] == stored["late"] + stored["after_idle"]
        assert count["after_idle"] == stored["after_idle"]
        assert count["conflicts"] == stored["conflict"]


def check_dead_letters(tables: MemoryTables, case: Case) -> None:
    """Exactly what was bad, with its reason."""
    found = {
        (row["topic"], row["partition"], row["offset"], row["idx"], row["reason"])
        for row in tables.final("dead_letters")
    }
    assert found == set(case.refused)


def same_tables(one: MemoryTables, other: MemoryTables, *, names: Sequence[str] = ()) -> None:
    """Two runs have left the same rows, but for the last digits of merged floats."""
    for table in names or sorted(one.tables.keys() | other.tables.keys()):
        rows, others = one.tables.get(table, {}), other.tables.get(table, {})
        assert rows.keys() == others.keys(), table
        for key, row in rows.items():
            if table == "windows":
                for name in ROUNDED:
                    assert row[name] == pytest.approx(others[key][name], rel=1e-9, abs=1e-6, nan_ok=True)
            assert _plain(row) == _plain(others[key]), table


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """What must be equal to the last bit; NaN equals NaN."""
    return {name: _comparable(value) for name, value in row.items() if name not in ROUNDED}


def _comparable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _comparable(one) for key, one in value.items()}
    return repr(nan) if isinstance(value, float) and isnan(value) else value
