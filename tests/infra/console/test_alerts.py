"""The page Alerts: what is listed equals plain Python over the same rows; what people do is what `alerts` does."""

import json
from collections import Counter
from collections.abc import Iterator
from statistics import median
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from infra.clickhouse import alerts as stored
from infra.console.data.alert_deeds import DEEDS
from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.http.answers import Problem
from tests.infra.clickhouse_support import database
from tests.infra.console.rows_support import BEGIN_MS, END_MS, Pages, Row, insert, pages

HOUR_MS = 3_600_000


def alert(name: str, start_s: int, lasted_s: int | None, severity: str = "warning", **more: Any) -> Row:
    start = BEGIN_MS + start_s * 1000
    row = {
        "alert_id": name,
        "started_at": start,
        "fired_at": start + 1000,
        "ended_at": None if lasted_s is None else start + lasted_s * 1000,
        "updated_at": start + 1000,
        "version": 1,
        "state": "open" if lasted_s is None else "resolved",
        "severity": severity,
        "rule": "anomaly",
        "sensor_id": f"sensor of {name}",
        "location": "hall",
        "sensors": 1,
        "peak_score": 3.0,
        "inhibits": [],
        "reason": f"{name}: strange",
        "evidence": "",
    }
    return row | more


FIRST = {"time": BEGIN_MS, "value": 7.5, "scores": {"tree": 0.9}}
ALERTS = [
    alert("a", 10, None),
    alert("b", 20, None, "critical", rule="many", sensor_id="", inhibits=["anomaly"]),
    alert("c", 30, 60, evidence=json.dumps({"first": FIRST, "peak": FIRST})),
    alert("d", 40, 100, "info", location="roof"),
    alert("e", -7_200, 10),
    alert("f", -7_200, None, location="roof"),
    alert("g", -7_200, 7_300, "critical"),
]


@pytest.fixture(scope="module")
def alerts_(clickhouse: EmbeddedClickHouse) -> Iterator[tuple[Pages, Client]]:
    with database(clickhouse.port) as (address, client), pages(address) as found:
        insert(client, "alerts", ALERTS)
        yield found, client


@pytest.fixture
def database_(alerts_: tuple[Pages, Client]) -> tuple[Pages, Client]:
    """Nobody has done anything yet."""
    alerts_[1].command("TRUNCATE TABLE alert_actions")
    return alerts_


def names(page: Pages, **given: Any) -> list[str]:
    return page.ask("alerts", "alerts", **given).columns.get("alert_id", [])


def do(client: Client, deed: str, now_ms: int = END_MS, **body: Any) -> Any:
    """As somebody called ada."""
    (found,) = [one for one in DEEDS if one.name == deed]
    assert found.role == "operator"
    return found.do(client, body, "ada", now_ms)


def test_open_and_past(database_: tuple[Pages, Client]) -> None:
    page, client = database_
    found = page.ask("alerts", "alerts", show="open")
    assert found.columns["alert_id"] == ["b", "f", "a"], "the most severe first; one that another tells of last"
    assert found.columns["status"] == ["open", "open", "inhibited"]
    assert found.about["all"] == 3
    assert names(page, show="past") == ["d", "c", "g"], "open in the range, newest first"
    assert set(names(page, show="range")) == set("abcdfg")
    assert names(page, show="open", location="roof") == ["f"]

    (told,) = page.ask("alerts", "counts").rows()
    begun = [row for row in ALERTS if row["started_at"] >= BEGIN_MS]
    lasted = [(row["ended_at"] - row["started_at"]) / 1000 for row in begun if row["ended_at"]]
    assert (told["critical"], told["warning"], told["unseen"], told["inhibited"]) == (1, 1, 2, 1)
    assert told["begun"] == len(begun)
    assert min(lasted) <= told["median_s"] <= max(lasted)
    assert told["until_acknowledged_s"] is None
    expected = Counter((row["started_at"] // 20_000 * 20_000, row["severity"]) for row in begun)
    found = page.ask("alerts", "begun")
    width = found.about["bucket_ms"]
    expected = Counter((row["started_at"] // width * width, row["severity"]) for row in begun)
    assert {(row["time"], row["severity"]): row["alerts"] for row in found.rows()} == expected

    do(client, "acknowledge", alert_id="c", comment="seen", now_ms=BEGIN_MS + 90_000)
    do(client, "acknowledge", alert_id="f", now_ms=BEGIN_MS + 1)
    (told,) = page.ask("alerts", "counts").rows()
    assert (told["until_acknowledged_s"], told["in_hand"]) == (median([60.0]), 1), "of those begun in the range"


def test_one_alert_with_its_evidence_and_what_people_did(database_: tuple[Pages, Client]) -> None:
    page, client = database_
    do(client, "acknowledge", alert_id="c", comment="on my way")
    do(client, "comment", alert_id="c", comment="a loose belt", now_ms=END_MS + 1)
    found = page.ask("alerts", "alert", alert="c")
    assert [(row["action"], row["actor"], row["comment"]) for row in found.rows()] == [
        ("ack", "ada", "on my way"),
        ("comment", "ada", "a loose belt"),
    ]
    assert found.about["evidence"] == {"first": FIRST}, "its strongest reading is its first: said once"
    assert (found.about["alert"]["acknowledged_by"], found.about["alert"]["started_at"]) == ("ada", BEGIN_MS + 30_000)
    assert page.ask("alerts", "alert", alert="a").about["inhibitor"] == "b: strange"
    with pytest.raises(Problem, match="none with this id"):
        page.ask("alerts", "alert", alert="zz")


def test_silences_are_those_of_the_command(database_: tuple[Pages, Client]) -> None:
    page, client = database_
    now_ms = int(str(client.command("SELECT toUnixTimestamp64Milli(now64(3))")))  # views look at the server's clock
    do(client, "silence", now_ms, alert_id="f", until=now_ms + HOUR_MS, comment="known")
    do(client, "silence", now_ms, labels={"location": "hall", "severity": "critical"}, until=now_ms + HOUR_MS)
    times = {"from": now_ms + HOUR_MS, "until": now_ms + 2 * HOUR_MS}
    do(client, "maintenance", now_ms, labels={"location": "roof"}, comment="new pump", **times)
    status = {row["alert_id"]: row["status"] for row in page.ask("alerts", "alerts", show="open").rows()}
    assert status == {"a": "inhibited", "b": "silenced", "f": "silenced"}
    listed = [(row["state"], row["kind"], row["of"], row["actor"]) for row in page.ask("alerts", "silences").rows()]
    assert listed[0] == ("planned", "maintenance", "location = roof", "ada")
    assert ("active", "silence", "f", "ada") in listed
    assert {row["of"]: row["reason"] for row in page.ask("alerts", "silences").rows()}["f"] == "f: strange"
    assert ("active", "silence", "location = hall, severity = critical", "ada") in listed
    assert len(stored.silences(client, ended=False)) == 3
    about = page.ask("alerts", "alert", alert="f").about
    assert {(one["state"], one["of"]) for one in about["silences"]} == {("active", "f"), ("planned", "location = roof")}

    assert do(client, "unsilence", now_ms + 1, alert_id="f")["done"] == "lifted: 1"
    do(client, "unsilence", now_ms + 1, labels={"severity": "critical", "location": "hall"})
    assert {row["status"] for row in page.ask("alerts", "alerts", show="open").rows()} == {"open", "inhibited"}
    assert [row["state"] for row in page.ask("alerts", "silences", ended="yes").rows()] == [
        "planned",
        "lifted",
        "lifted",
    ]
    with pytest.raises(Problem, match="there is no such silence"):
        do(client, "unsilence", now_ms + 2, alert_id="f")


@pytest.mark.parametrize(
    ("deed", "body", "said"),
    [
        ("acknowledge", {"alert_id": "zz"}, "none with this id"),
        ("acknowledge", {}, "none with this id"),
        ("acknowledge", {"alert_id": ["a"]}, "alert_id: a text"),
        ("acknowledge", {"alert_id": "a", "target": "x"}, "target: there is no such field"),
        ("comment", {"alert_id": "a", "comment": " "}, "say something"),
        ("silence", {"until": END_MS + 1}, "name one alert, or labels"),
        ("silence", {"alert_id": "a", "labels": {"rule": "x"}, "until": END_MS + 1}, "name one alert, or labels"),
        ("silence", {"alert_id": "a"}, "until: a time"),
        ("silence", {"alert_id": "a", "until": "tomorrow"}, "until"),
        ("silence", {"alert_id": "a", "until": END_MS - 1}, "after the beginning"),
        ("silence", {"alert_id": "a", "until": END_MS + 500 * 24 * HOUR_MS}, "400 days"),
        ("silence", {"labels": {"planet": "earth"}, "until": END_MS + 1}, "labels: planet"),
        ("silence", {"labels": {"rule": ""}, "until": END_MS + 1}, "labels: rule"),
        ("maintenance", {"labels": {"rule": "x"}, "until": END_MS + 1}, "from: a time"),
        ("maintenance", {"labels": {"rule": "x"}, "from": END_MS + 9, "until": END_MS + 9}, "after the beginning"),
    ],
)
def test_mistakes_are_said_and_nothing_is_stored(
    database_: tuple[Pages, Client], deed: str, body: dict[str, Any], said: str
) -> None:
    _, client = database_
    with pytest.raises(Problem, match=said):
        do(client, deed, **body)
    assert client.command("SELECT count() FROM alert_actions") == 0
