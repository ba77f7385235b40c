"""Named queries: each gives rows and the columns it documents, on what a flow has stored."""

import re
from pathlib import Path

import pytest

from infra.clickhouse.client import ClickHouseError, explained
from infra.clickhouse.migrate import Migration
from infra.clickhouse.named import FOLDER, NamedQuery, named_queries, named_query, parse
from infra.clickhouse.query import Result, query
from tests.dashboards.seeding import DEPLOYED_MS, Seeded, utc
from tests.flows.commands import streamgauge

QUERIES = named_queries()


def ask(seeded: Seeded, named: NamedQuery, **given: str) -> Result:
    span = {"since": seeded.from_ms, "until": seeded.to_ms, "at": DEPLOYED_MS}
    instants = {one.name: f"{span[one.name] / 1000:.3f}" for one in named.parameters if one.is_time}
    return query(seeded.client, named.sql, parameters=named.with_defaults(instants | given))


def rows_of(seeded: Seeded, name: str, **given: str) -> list[dict[str, object]]:
    result = ask(seeded, named_query(name), **given)
    return [dict(zip(result.columns, row, strict=True)) for row in result.rows]


@pytest.mark.parametrize("named", QUERIES, ids=lambda named: named.name)
def test_each_gives_rows_with_the_columns_it_documents(named: NamedQuery, seeded: Seeded) -> None:
    result = ask(seeded, named)
    assert result.rows
    assert result.columns == named.columns
    shown = [line.split("|") for line in named.example]
    assert {len(cells) for cells in shown} == {len(named.columns)}, "an example row has a cell for each column"


@pytest.mark.parametrize("named", QUERIES, ids=lambda named: named.name)
def test_each_says_what_it_answers_and_long_ranges_read_windows(named: NamedQuery) -> None:
    assert re.fullmatch(r"[A-Z][^?]{10,100}\?", named.question)
    assert named.about
    since = [one.default for one in named.parameters if one.name == "since"]
    if "readings_final" in named.sql:
        assert since == ["1h"], "readings are too many for long ranges"
    assert not re.search(r"\b(FROM|JOIN) (readings|windows|alerts|ledger|events|dead_letters)\b(?!_)", named.sql)


def test_precision_and_recall_are_those_of_the_labels(seeded: Seeded) -> None:
    found = {row["detector"]: row for row in rows_of(seeded, "detector_quality")}
    verdict = found["= verdict"]
    sql = (
        "SELECT countIf(is_anomaly AND label != 'normal'), countIf(is_anomaly AND label = 'normal'), "
        "countIf(label != 'normal'), count() FROM readings_final"
    )
    ((hits, false_alarms, faults, readings),) = seeded.client.query(sql).result_rows
    assert (verdict["hits"], verdict["false_alarms"], verdict["faults"]) == (hits, false_alarms, faults)
    assert verdict["readings"] == verdict["labelled"] == readings
    assert verdict["precision"] == hits / (hits + false_alarms)
    assert verdict["recall"] == hits / faults
    assert verdict["agreement"] == 1
    here = rows_of(seeded, "detector_quality", location="server_room", sensor_type="power")
    assert 0 < int(str(here[0]["readings"])) < readings / 10


def test_agreement_of_pairs(seeded: Seeded) -> None:
    found = {(row["one"], row["other"]): row for row in rows_of(seeded, "detector_agreement")}
    sql = (
        "SELECT countIf(has(flagged_by, 'level') AND has(flagged_by, 'z-score')), countIf(has(flagged_by, 'level')), "
        "countIf(has(flagged_by, 'z-score')) FROM readings_final"
    )
    ((both, level, rule),) = seeded.client.query(sql).result_rows
    pair = found["level", "z-score"]
    assert (pair["both"], pair["only_one"], pair["only_other"]) == (both, level - both, rule - both)
    assert pair["jaccard"] == both / (level + rule - both)
    assert all(-1 <= float(str(row["kappa"])) <= 1 for row in found.values())


@pytest.mark.parametrize(("by", "series"), [("sensor_id", 14), ("sensor_type", 7), ("location", 2)])
def test_correlation_by(by: str, series: int, seeded: Seeded) -> None:
    found = rows_of(seeded, "correlation_matrix", by=by, at_least="5")
    assert len({row["one"] for row in found} | {row["other"] for row in found}) == series
    assert len(found) == series * (series - 1) / 2
    assert all(-1 <= float(str(row["correlation"])) <= 1 for row in found)
    few = rows_of(seeded, "correlation_matrix", by=by, at_least="5", most="2")
    assert len(few) == 1, "limited to the two largest series"


def test_completeness_by_sensor_and_group_tell_the_same_sums(seeded: Seeded) -> None:
    by_group, by_sensor = (rows_of(seeded, "completeness", by=by) for by in ("group", "sensor_id"))
    assert len(by_group) == len(by_sensor) == 14
    assert sum(int(str(row["readings"])) for row in by_group) == sum(int(str(row["readings"])) for row in by_sensor)
    assert float(str(by_group[0]["completeness"])) < 0.99, "worst first"


def test_the_ledger_sums_agree(seeded: Seeded) -> None:
    for row in rows_of(seeded, "intake"):
        parts = sum(int(str(row[name])) for name in ("on_time", "late", "duplicates", "rejected"))
        assert row["readings"] == parts


def test_values_of_parameters_never_become_sql(seeded: Seeded) -> None:
    assert rows_of(seeded, "gaps", location="x' OR 1=1 --") == []
    with pytest.raises(ClickHouseError, match="most"):
        rows_of(seeded, "worst_sensors", most="1; DROP TABLE readings")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("SELECT 1", "needs the lines Parameters and Example"),
        ("-- A?\n-- Parameters\n--   none\n-- Example\n--   a\n--   1\nSELECT {x:String} AS a", "other parameters"),
        ("-- A?\n-- Parameters\n--   x: String\n-- Example\n--   a\n--   1\nSELECT {x:String} AS a", "is not `name"),
        ("-- A?\n-- Parameters\n-- Example\n--   a\nSELECT 1 AS a", "needs column names and a row"),
    ],
)
def test_a_comment_that_does_not_fit_is_found(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse("some", text)


def test_the_command_runs_lists_and_explains(seeded: Seeded, tmp_path: Path) -> None:
    env = {
        "STREAMGAUGE_CLICKHOUSE__PORT": str(seeded.address.port),
        "STREAMGAUGE_CLICKHOUSE__DATABASE": seeded.address.database,
        "STREAMGAUGE_DATA_DIR": str(tmp_path),
    }
    span = ("--since", utc(seeded.from_ms), "--until", utc(seeded.to_ms))
    run = streamgauge("query", "-n", "before_after", "-p", f"at={utc(DEPLOYED_MS)}", "--format", "csv", env=env)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[0].split(",")[:2] == ["sensor_type", "readings_before"]
    assert len(run.stdout.splitlines()) == 8
    run = streamgauge("query", "--name", "gaps", *span, "-p", "location=nowhere", env=env)
    assert "sensor_id" in run.stdout, "columns, though there are no rows"
    assert "nothing from 2025-12-31 23:59:00.000 to 2026-01-01 00:30:00.000" in run.stderr
    assert re.search(r"readings are stored from 2025-12-31 23:59\S+ to 2026-01-01 00:29\S+: --since", run.stderr)
    listed = streamgauge("query", "--list").stdout
    assert all(path.stem in listed for path in FOLDER.glob("*.sql"))
    mistakes: list[tuple[tuple[str, ...], str]] = [
        (("--name", "gap"), "no query is named 'gap'; there are alerts_overview"),
        (("--name", "before_after"), "needs --param at=...: when it was deployed"),
        (("--name", "gaps", "-p", "x=1"), "parameter x: there is none of that name: query gaps takes location,"),
    ]
    for arguments, says in mistakes:
        run = streamgauge("query", *arguments, env=env)
        assert (run.returncode, run.stderr.count("\n")) == (1, 1), run.stderr
        assert says in run.stderr
    misuses: list[tuple[tuple[str, ...], str]] = [
        ((), "give one statement, or --name"),
        (("SELECT 1", "--since", "1h"), "only a named query takes parameters"),
        (("--name", "gaps", "--since", "yesterday"), "how long ago"),
        (("--name", "gaps", "-p", "location"), "is not name=value"),
    ]
    for arguments, says in misuses:
        run = streamgauge("query", *arguments, env=env)
        assert run.returncode == 2
        assert says in " ".join(run.stderr.replace("│", " ").split())


def test_statements_about_users_of_a_server_parse(seeded: Seeded) -> None:
    """ClickHouse's own parser reads them; chDB could not run them."""
    text = (FOLDER.parent / "server" / "users.sql").read_text(encoding="utf-8")
    statements = Migration(0, "users.sql", text).statements
    assert len(statements) > 15
    for statement in statements:
        assert seeded.client.command("SELECT formatQuery({sql:String})", parameters={"sql": statement})
    with pytest.raises(ClickHouseError, match="code 62"), explained("nonsense", seeded.client):
        seeded.client.command("SELECT formatQuery({sql:String})", parameters={"sql": "GRANT SELEC ON TO nobody"})
    reader = [one for one in statements if one.endswith("TO streamgauge_reads")]
    assert reader
    assert all(re.search(r"GRANT SELECT ON [\w.*]+ TO", one) for one in reader), "who reads may only read"
    writer = " ".join(one for one in statements if "ON streamgauge.*" in one and one.endswith("TO streamgauge_writes"))
    assert not re.search(r"ALTER|DROP|TRUNCATE|DELETE", writer), "who writes removes nothing"
