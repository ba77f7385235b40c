"""A past range computed once more, beside real Kafka and ClickHouse, against the live tables and the batch oracle."""

import math
from datetime import UTC, datetime
from statistics import median
from subprocess import CompletedProcess
from typing import Any

import pytest

from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from tests.flows.commands import streamgauge
from tests.oracle import Window, window_rows
from tests.running import BEGIN_MS, MakeSite, Row, Site, sites

MESSAGES = 3_000
END_MS = BEGIN_MS + MESSAGES * 200
FROM_MS, TO_MS = BEGIN_MS + 120_000, BEGIN_MS + 480_000
"""Two to eight minutes of the ten that there are."""

WINDOWS = (
    Window("1m", 60_000, 60_000, ("location", "sensor_type")),
    Window("5m/30s", 300_000, 30_000, ("location", "sensor_type")),
    Window("1m by sensor", 60_000, 60_000, ("sensor_id",)),
)
TABLES = ("readings", "windows", "asset_verdicts", "data_quality", "alerts", "ledger", "dead_letters")
PATIENT = {"EVENT_TIME__LATENESS": "5m"}
"""Settings by which none of the simulated readings is late."""


@pytest.fixture(scope="module")
def make_site(broker: Broker, clickhouse: EmbeddedClickHouse, tmp_path_factory: pytest.TempPathFactory) -> MakeSite:
    """Makes places to run on one topic, each with a database of its own."""
    return sites(broker, clickhouse, tmp_path_factory.mktemp("rebuild"), messages=MESSAGES, partitions=4)


def rebuild(site: Site, *arguments: str, env: dict[str, str] | None = None) -> CompletedProcess[str]:
    """`streamgauge rebuild` of the range, or of the one that is given."""
    given = {f"STREAMGAUGE_{name}": text for name, text in (env or {}).items()}
    span = [] if "--from" in arguments else ["--from", str(FROM_MS), "--to", str(TO_MS)]
    config = ["--config", str(site.home / "empty.toml")]
    return streamgauge(*config, "rebuild", *span, *arguments, env=site.environment | given, timeout_s=90)


def tables(site: Site) -> dict[str, list[Row]]:
    """All that is stored, but for events; NaN equals itself."""
    return {table: [_comparable(row) for row in site.stored(table)] for table in TABLES}


def _comparable(row: Row) -> Row:
    """NaN as text, also in maps."""
    return row | {name: str(row[name]) for name in ("score", "scores", "surprises", "peak_score") if name in row}


def ms(time: datetime) -> int:
    """Epoch milliseconds."""
    return round(time.replace(tzinfo=UTC).timestamp() * 1000)


@pytest.fixture(scope="module")
def late(make_site: MakeSite) -> Site:
    """A run with late readings, of which nothing is changed."""
    site = make_site("late")
    site.run_to_end()
    assert any(row["quality"] == "late" for row in site.stored("readings"))
    return site


@pytest.mark.parametrize("source", ["stored", "kafka"])
def test_a_range_that_nothing_has_changed_about_comes_out_as_it_is(make_site: MakeSite, source: str) -> None:
    site = make_site(f"same_{source}")
    site.run_to_end(**PATIENT)
    before = tables(site)
    assert any(row["quality"] == "out_of_order" for row in before["readings"])
    span = ["--from", str(BEGIN_MS), "--to", str(BEGIN_MS + 240_000)]
    run = rebuild(site, "--yes", "--source", source, *span, env=PATIENT)
    assert run.returncode == 0, run.stderr
    assert "rows written" not in run.stdout, run.stdout
    assert tables(site) == before


def test_dry_run_shows_and_writes_nothing(late: Site) -> None:
    before = tables(late)
    run = rebuild(late, "--dry-run")
    assert run.returncode == 0, run.stderr
    assert "windows 1m by sensor" in run.stdout
    assert tables(late) == before
    refused = rebuild(late)
    assert refused.returncode != 0
    assert "--yes" in refused.stderr
    assert tables(late) == before


@pytest.mark.parametrize("source", ["stored", "kafka"])
def test_late_readings_enter_their_windows(make_site: MakeSite, source: str) -> None:
    site = make_site(f"into_{source}")
    site.run_to_end()
    before = tables(site)
    run = rebuild(site, "--yes", "--source", source)
    assert run.returncode == 0, run.stderr
    after = tables(site)
    assert "as generation 1" in run.stdout
    compare_with_oracle(after)
    fate = ("sensor_id", "time", "topic", "partition", "offset", "idx", "value", "quality", "label")
    assert [[row[name] for name in fate] for row in after["readings"]] == [
        [row[name] for name in fate] for row in before["readings"]
    ]
    assert after["ledger"] == before["ledger"]
    assert after["dead_letters"] == before["dead_letters"]
    outside = [row for row in after["windows"] if not (ms(row["start"]) >= FROM_MS and ms(row["end"]) <= TO_MS)]
    assert all(row["generation"] == 0 for row in outside)
    assert {row["generation"] for row in after["windows"]} == {0, 1}
    again = rebuild(site, "--yes", "--source", source)
    assert again.returncode == 0, again.stderr
    assert "rows written" not in again.stdout, again.stdout


def compare_with_oracle(stored: dict[str, list[Row]]) -> None:
    """Windows in the range hold all readings, late ones too, each sensor's repeats once."""
    known = set()
    everything = []
    for row in sorted(stored["readings"], key=lambda row: row["offset"]):
        same = (row["sensor_id"], row["time"], row["value"])
        if same not in known:
            everything.append(row | {"time_ms": ms(row["time"])})
        known.add(same)
    found = {
        (row["window"], ms(row["start"]), tuple(row[name] for name in window.by)): row
        for window in WINDOWS
        for row in stored["windows"]
        if row["window"] == window.name and row["count"] and ms(row["start"]) >= FROM_MS and ms(row["end"]) <= TO_MS
    }
    wanted = {
        row.key: row
        for window in WINDOWS
        for row in window_rows(everything, window)
        if row.start_ms >= FROM_MS and row.end_ms <= TO_MS
    }
    assert found.keys() == wanted.keys()
    for key, row in found.items():
        for name in ("count", "min", "max", "first", "last", "anomaly_count"):
            assert row[name] == getattr(wanted[key], name), (key, name)
        for name in ("mean", "stddev"):
            assert math.isclose(row[name], getattr(wanted[key], name), rel_tol=1e-9, abs_tol=1e-9), (key, name)


def test_a_window_that_was_added_has_its_rows(make_site: MakeSite) -> None:
    site = make_site("added")
    site.run_to_end(**PATIENT)
    added = {"WINDOWS": '[{name = "2m by type", size = "2m", by = ["sensor_type"]}]', **PATIENT}
    run = rebuild(site, "--yes", "--to", str(BEGIN_MS + 240_000), "--from", str(BEGIN_MS), env=added)
    assert run.returncode == 0, run.stderr
    rows = [row for row in site.stored("windows") if row["window"] == "2m by type"]
    assert {ms(row["start"]) for row in rows} == {BEGIN_MS, BEGIN_MS + 120_000}
    assert all(row["generation"] == 1 and row["complete"] for row in rows)
    counted = sum(row["count"] for row in rows)
    readings = site.stored(
        "readings", where=f"toUnixTimestamp64Milli(time) BETWEEN {BEGIN_MS} AND {BEGIN_MS + 239_999}"
    )
    assert counted == len(readings)
    # Those that are configured no more stay.
    assert {row["window"] for row in site.stored("windows")} == {"2m by type", *(window.name for window in WINDOWS)}


def test_alerts_are_found_once_more_and_those_of_the_range_replaced(make_site: MakeSite, late: Site) -> None:
    level = median(row["value"] for row in late.stored("readings", where="sensor_type = 'temperature'"))
    rule = f'{{name = "warm", on = "value", above = {level}, match = {{sensor_type = "temperature"}}, severity = "%s"}}'
    site = make_site("alerts")
    site.run_to_end(ALERTS=f"[{rule % 'warning'}]", **PATIENT)
    before = tables(site)["alerts"]
    from_ms, to_ms = BEGIN_MS + 30_000, BEGIN_MS + 240_000
    span = ["--from", str(from_ms), "--to", str(to_ms)]
    run = rebuild(site, "--yes", *span, env={"ALERTS": f"[{rule % 'critical'}]", **PATIENT})
    assert run.returncode == 0, run.stderr
    after = {row["alert_id"]: row for row in tables(site)["alerts"]}
    assert after.keys() == {row["alert_id"] for row in before}
    replaced = 0
    for row in before:
        ended = row["ended_at"] is not None and ms(row["ended_at"]) < to_ms
        within = ended and ms(row["started_at"]) >= from_ms
        now = after[row["alert_id"]]
        assert (now["severity"], now["generation"]) == (("critical", 1) if within else ("warning", 0))
        assert (now["ended_at"], now["state"], now["reason"]) == (row["ended_at"], row["state"], row["reason"])
        replaced += within
    assert 5 < replaced < len(before)


def test_a_live_flow_goes_on_meanwhile(make_site: MakeSite, late: Site) -> None:
    site = make_site("live")
    with site.worker(WORKER__MAX_EPOCH_ROWS="200") as worker:
        with site.asking() as ask:
            site.waits_for(1, "windows")
            reached = int(ask("SELECT toUnixTimestamp64Milli(max(`end`)) FROM windows"))
        too_far = rebuild(site, "--from", str(BEGIN_MS), "--to", str(END_MS + 3_600_000), "--dry-run")
        assert too_far.returncode == 1
        assert "the live flow has closed its windows up to" in too_far.stderr
        run = rebuild(site, "--yes", "--from", str(BEGIN_MS), "--to", str(reached))
        assert run.returncode == 0, run.stderr
        site.waits_for(len(late.stored("readings")))
        assert worker.stop() == 0, site.log
    site.run_to_end()
    rebuilt = rebuild(late, "--yes", "--from", str(BEGIN_MS), "--to", str(reached))
    assert rebuilt.returncode == 0, rebuilt.stderr
    for table, rows in tables(site).items():
        assert [_plain(row) for row in rows] == [_plain(row) for row in late.stored(table)], table


def _plain(row: Row) -> dict[str, Any]:
    """Without NaN, and without last digits where partitions meet."""
    rounded = ("mean", "stddev")
    return {
        name: f"{value:.9g}" if name in rounded and value is not None else str(value) for name, value in row.items()
    }


def test_groups_without_readings_and_readings_that_are_gone(make_site: MakeSite) -> None:
    site = make_site("moved")
    site.run_to_end(**PATIENT)
    span = ["--yes", "--from", str(BEGIN_MS), "--to", str(BEGIN_MS + 240_000)]
    by_unit = '[{name = "1m", size = "1m", by = ["unit"]}]'
    run = rebuild(site, *span, env={"WINDOWS": by_unit, **PATIENT})
    assert run.returncode == 0, run.stderr
    where = f"window = '1m' AND `end` <= fromUnixTimestamp64Milli({BEGIN_MS + 240_000}) AND start >= '2026-01-01'"
    rows = site.stored("windows", where=where)
    assert {bool(row["count"]) for row in rows if row["location"]} == {False}
    assert all(row["mean"] is None for row in rows if row["location"])
    assert all(row["count"] for row in rows if row["unit"])
    with site.asking() as ask:
        ask(f"ALTER TABLE readings DELETE WHERE time < fromUnixTimestamp64Milli({BEGIN_MS + 60_000})")
    before = site.stored("windows")
    refused = rebuild(site, *span, env={"WINDOWS": by_unit, **PATIENT})
    assert refused.returncode == 1
    assert "--source kafka" in refused.stderr
    assert site.stored("windows") == before


def test_what_a_killed_rebuild_has_left_is_told(late: Site) -> None:
    with late.asking() as ask:
        ask(f"CREATE DATABASE {late.database}_rebuild")
    run = rebuild(late, "--dry-run")
    assert run.returncode == 1
    assert "--discard" in run.stderr
    assert rebuild(late, "--dry-run", "--discard").returncode == 0
    with late.asking() as ask:
        assert int(ask(f"SELECT count() FROM system.databases WHERE name LIKE '{late.database}_rebuild%'")) == 0
