"""The page Detection: every table equals what plain Python makes of the same rows."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from statistics import median
from typing import Any

import pytest

from infra.clickhouse.named import named_query
from infra.clickhouse.query import query
from infra.console.data import lately
from infra.console.data.verdicts import TOGETHER
from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.http.answers import Problem
from tests.infra.clickhouse_support import database
from tests.infra.console.rows_support import BEGIN_MS, END_MS, STEP_MS, Pages, Row, insert, pages, readings, windows


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return readings()


@pytest.fixture(scope="module")
def page(clickhouse: EmbeddedClickHouse, rows: list[Row]) -> Iterator[Pages]:
    with database(clickhouse.port) as (address, client), pages(address) as found:
        insert(client, "readings", rows)
        insert(client, "windows", [*windows(rows, by_sensor=False), *windows(rows, by_sensor=True)])
        insert(client, "events", [event(1, "drift", "a"), event(2, "restart", "t/0"), event(3, "model_change", "b")])
        insert(client, "events", [event(3, "model_change", "c")])
        yield found


def event(minute: int, kind: str, subject: str) -> Row:
    return {"time": BEGIN_MS + minute * 60_000, "kind": kind, "subject": subject, "detail": "in words"}


def says(row: Row, name: str) -> bool:
    told = {"= rules": row["rule_anomaly"], "= models": row["model_anomaly"], "= verdict": row["is_anomaly"]}
    return bool(told[name]) if name in told else name in row["flagged_by"]


def faulty(row: Row) -> bool:
    return row["label"] not in ("", "normal")


def ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def test_how_right_each_detector_is(page: Pages, rows: list[Row]) -> None:
    found = page.ask("detection", "verdicts")
    for told in found.rows():
        name = told["detector"]
        hits = sum(says(row, name) and faulty(row) for row in rows)
        false_alarms = sum(says(row, name) and row["label"] == "normal" for row in rows)
        faults = sum(map(faulty, rows))
        assert told == {
            "detector": name,
            "role": {"z": "rule", "tree": "model", "new": "challenger", "quiet": ""}.get(name, "together"),
            "flagged": sum(says(row, name) for row in rows),
            "agreement": pytest.approx(sum(says(row, name) == row["is_anomaly"] for row in rows) / len(rows)),
            "hits": hits,
            "false_alarms": false_alarms,
            "missed": faults - hits,
            "precision": ratio(hits, hits + false_alarms),
            "recall": hits / faults,
            "f1": pytest.approx(2 * hits / (hits + false_alarms + faults)),
        }
    assert set(found.columns["detector"]) == {*TOGETHER, "z", "tree", "new", "quiet"}
    assert (found.about["readings"], found.about["labelled"]) == (len(rows), sum(row["label"] != "" for row in rows))
    assert not found.about["shortened"]


def test_it_says_what_the_named_queries_say(page: Pages) -> None:
    parameters = {"since": f"{BEGIN_MS / 1000}", "until": f"{END_MS / 1000}"}

    def named(name: str) -> list[Row]:
        one = named_query(name)
        with page.reader.client() as client:
            result = query(client, one.sql, parameters=one.with_defaults(parameters))
        return [dict(zip(result.columns, row, strict=True)) for row in result.rows]

    told = {row["detector"]: row for row in page.ask("detection", "verdicts").rows()}
    for row in named("detector_quality"):
        for column in ("flagged", "agreement", "hits", "false_alarms", "precision", "recall", "f1"):
            assert told[row["detector"]][column] == pytest.approx(row[column]), column
    pairs = {(row["one"], row["other"]): row for row in page.ask("detection", "agreement").rows()}
    for row in named("detector_agreement"):
        pair = (
            pairs[row["one"], row["other"]] if (row["one"], row["other"]) in pairs else pairs[row["other"], row["one"]]
        )
        assert (pair["both"], pair["kappa"], pair["jaccard"]) == pytest.approx(
            (row["both"], row["kappa"], row["jaccard"])
        )


def test_rules_beside_models_and_challengers_beside_the_champion(page: Pages, rows: list[Row]) -> None:
    for told in page.ask("detection", "rules_and_models").rows():
        some = [row for row in rows if row["rule_anomaly"] == (told["rules"] == "flag")]
        some = [row for row in some if row["model_anomaly"] == (told["models"] == "flag")]
        assert told["readings"] == len(some)
        assert told["faults"] == sum(map(faulty, some))
        assert told["normal"] == sum(row["label"] == "normal" for row in some)
    (new,) = page.ask("detection", "challengers").rows()
    assert new["challenger"] == "new"
    assert new["only_challenger"] == sum(says(row, "new") and not row["is_anomaly"] for row in rows)
    assert new["only_champion"] == sum(row["is_anomaly"] and not says(row, "new") for row in rows)
    known = [row for row in rows if row["label"]]
    assert new["challenger_alone_right"] == sum(says(row, "new") == faulty(row) != row["is_anomaly"] for row in known)
    assert new["champion_alone_right"] == sum(row["is_anomaly"] == faulty(row) != says(row, "new") for row in known)


def test_flagged_over_time_and_filters(page: Pages, rows: list[Row]) -> None:
    found = page.ask("detection", "flagged", location="hall", type="heat")
    bucket_ms = found.about["bucket_ms"]
    some = [row for row in rows if (row["location"], row["sensor_type"]) == ("hall", "heat")]
    expected: dict[int, Counter[str]] = defaultdict(Counter)
    for row in some:
        expected[row["time"] // bucket_ms * bucket_ms].update(
            ["readings", *(f"by: {name}" for name in row["flagged_by"]), *["verdict"] * row["is_anomaly"]]
        )
    assert len(found) == len(expected)
    for told in found.rows():
        for name in ("readings", "verdict", "by: z", "by: tree", "by: new"):
            assert told[name] == expected[told["time"]][name], name


def test_how_surprising_readings_are(page: Pages, rows: list[Row]) -> None:
    expected: Counter[tuple[str, float, bool]] = Counter()
    for row in rows:
        for name, surprise in {**row["surprises"], "= score": row["score"]}.items():
            if math.isfinite(surprise):
                expected[name, min(math.floor(surprise * 2) / 2, 12.0), faulty(row)] += 1
    for told in page.ask("detection", "scores").rows():
        for fault, column in ((True, "faulty"), (False, "usual")):
            assert told[column] == expected.pop((told["detector"], told["from_surprise"], fault), 0)
    assert not expected


def test_how_soon_faults_are_found(page: Pages, rows: list[Row]) -> None:
    """A pause of more than ten intervals parts two faults; a label that another one interrupts goes on."""
    expected: dict[str, list[float | None]] = defaultdict(list)
    of: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if faulty(row):
            of[row["sensor_id"], row["label"]].append(row)
    for (_, fault), some in of.items():
        assert some[-1]["time"] - some[0]["time"] < 10 * STEP_MS, "one fault each"
        flagged = [row["time"] for row in some if row["is_anomaly"]]
        expected[fault].append((flagged[0] - some[0]["time"]) / 1000 if flagged else None)
    found = {row["fault"]: row for row in page.ask("detection", "delays").rows()}
    assert found.keys() == expected.keys()
    for fault, delays in expected.items():
        seen = sorted(one for one in delays if one is not None)
        assert (found[fault]["faults"], found[fault]["found"]) == (len(delays), len(seen))
        assert found[fault]["longest_s"] == pytest.approx(max(seen))
        assert min(seen) <= found[fault]["median_s"] <= max(seen)
        if len(seen) % 2:
            assert found[fault]["median_s"] == pytest.approx(median(seen))


def test_a_long_range_is_answered_of_its_newest_part(
    page: Pages, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lately, "MOST", 300)
    found = page.ask("detection", "verdicts")
    from_ms = found.about["read_from_ms"]
    assert found.about["shortened"]
    counted = sum(row["time"] >= from_ms for row in rows)
    assert found.about["readings"] == counted
    assert 300 < counted <= 300 + 60_000 // STEP_MS * 5, "by whole windows of a minute"
    assert not page.ask("detection", "verdicts", sensor="heat-roof-1").about["shortened"]
    over_time = page.ask("detection", "flagged")
    width = over_time.about["bucket_ms"]
    assert over_time.columns["time"] == list(range(BEGIN_MS, END_MS, width)), "the whole range, by windows"
    for told in over_time.rows():
        some = [row for row in rows if told["time"] <= row["time"] < told["time"] + width]
        assert (told["readings"], told["verdict"]) == (len(some), sum(row["is_anomaly"] for row in some))
        seen = told["time"] >= from_ms
        assert told["rules"] == (sum(row["rule_anomaly"] for row in some) if seen else None)
        assert told["by: tree"] == (sum("tree" in row["flagged_by"] for row in some) if seen else None)


def test_changes_are_told_once(page: Pages) -> None:
    found = [(row["kind"], row["subject"], row["subjects"]) for row in page.ask("detection", "changes").rows()]
    assert found == [("model_change", "b", 2), ("drift", "a", 1)]


def test_anomalies_lead_to_one_in_full(page: Pages, rows: list[Row]) -> None:
    listed = list(page.ask("detection", "anomalies").rows())
    newest = max((row for row in rows if row["is_anomaly"]), key=lambda row: (row["time"], row["sensor_id"]))
    assert (listed[0]["time"], listed[0]["sensor_id"]) == (newest["time"], newest["sensor_id"])
    asked: dict[str, Any] = {"sensor": newest["sensor_id"], "time": newest["time"] + 1}
    found = page.ask("detection", "reading", **asked)
    reading = found.about["reading"]
    assert (reading["time"], reading["value"], found.about["away_ms"]) == (newest["time"], newest["value"], -1)
    said = {row["detector"]: row for row in found.rows()}
    assert {name for name, row in said.items() if row["flagged"]} == set(newest["flagged_by"])
    assert said["tree"]["surprise"] == pytest.approx(newest["surprises"]["tree"], rel=1e-6)
    before = [row["time"] for row in rows if row["sensor_id"] == newest["sensor_id"] and row["is_anomaly"]]
    assert (found.about["before"], found.about["after"]) == (sorted(before)[-2], None)


def test_readings_around_one(page: Pages, rows: list[Row]) -> None:
    mine = [row for row in rows if row["sensor_id"] == "heat-hall-2"]
    found = page.ask("detection", "around", sensor="heat-hall-2", time=mine[100]["time"], each_side=7)
    assert found.columns["value"] == [row["value"] for row in mine[93:108]]
    assert found.columns["itself"] == [0] * 7 + [1] + [0] * 7
    assert found.columns["expected_low"] == [18.0] * 15


def test_what_is_not_there_is_said(page: Pages) -> None:
    with pytest.raises(Problem, match=r"did you mean heat-hall-1"):
        page.ask("detection", "reading", sensor="heat-hal-1", time=BEGIN_MS)
    with pytest.raises(Problem, match="name the one"):
        page.ask("detection", "reading", time=BEGIN_MS)
    nothing = page.ask("detection", "verdicts", location="cellar")
    assert (len(nothing), nothing.about["readings"]) == (3, 0)
