"""Grafana's alert rules: each query gives labels and one number, and fires on what it is meant for."""

from dataclasses import dataclass
from typing import Any

import pytest

from infra.clickhouse.query import query
from infra.grafana.files import alerting, dashboards
from tests.dashboards.boards import is_number, is_text, shape
from tests.dashboards.macros import Asked
from tests.dashboards.seeding import Seeded

RULES: list[dict[str, Any]] = alerting()["groups"][0]["rules"]


@dataclass(frozen=True)
class Evaluated:
    """rows: labels and value of each row. firing: labels of those that are alerts."""

    rows: list[tuple[tuple[str, ...], float]]
    firing: list[tuple[str, ...]]


def evaluate(rule: dict[str, Any], seeded: Seeded) -> Evaluated:
    """As Grafana does: the query over the rule's range before now, then the threshold, by row."""
    asked, threshold = (one["model"] for one in rule["data"])
    to_ms = seeded.to_ms
    lately = Asked(from_ms=to_ms - 1000 * rule["data"][0]["relativeTimeRange"]["from"], to_ms=to_ms)
    result = query(seeded.client, lately.expand(asked["rawSql"]))
    if not result.rows:
        return Evaluated([], [])
    kinds = shape(result)
    numbers = [name for name, kind in kinds.items() if is_number(kind)]
    assert len(numbers) == 1, "a table of numbers for Grafana has one column of them"
    assert all(is_text(kind) for name, kind in kinds.items() if name not in numbers)
    at = result.columns.index(numbers[0])
    rows = [(tuple(str(cell) for i, cell in enumerate(row) if i != at), float(row[at])) for row in result.rows]
    evaluator = threshold["conditions"][0]["evaluator"]
    limit = evaluator["params"][0]
    firing = [labels for labels, value in rows if (value > limit if evaluator["type"] == "gt" else value < limit)]
    return Evaluated(rows, firing)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["uid"])
def test_every_rule_gives_labels_and_one_number(rule: dict[str, Any], seeded: Seeded) -> None:
    assert evaluate(rule, seeded).rows
    assert rule["annotations"]["summary"]
    notes = rule["annotations"]
    (board,) = [one for one in dashboards() if one["uid"] == notes["__dashboardUid__"]]
    assert notes["__panelId__"] in {str(panel["id"]) for panel in board["panels"] if panel["type"] != "row"}


def test_rules_fire_on_what_they_are_meant_for(seeded: Seeded) -> None:
    firing = {rule["uid"].removeprefix("streamgauge-"): evaluate(rule, seeded).firing for rule in RULES}
    assert firing["critical-alerts"], "one of the seeded critical alerts is open, and seen by nobody"
    assert ("degraded",) in firing["trouble"]
    assert firing["anomalies"], "a stuck sensor is flagged throughout"
    assert not firing["late"]
    assert ("server_room", "silent") in firing["silent-sensors"] or ("factory_floor", "silent") in firing[
        "silent-sensors"
    ]
