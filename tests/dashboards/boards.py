"""What the generated dashboards ask, found in their JSON as Grafana would read it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from infra.clickhouse.query import Result, query
from infra.grafana.files import alerting, dashboards
from tests.dashboards.macros import Asked, Choice
from tests.dashboards.seeding import Seeded


@dataclass(frozen=True)
class Question:
    """One query of a dashboard. kind: timeseries, table, annotation, variable, alert."""

    board: str
    title: str
    kind: str
    sql: str
    panel: str = ""
    """Type of the panel."""
    repeated: str = ""
    """The variable for whose values it is repeated."""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.board.removeprefix('streamgauge-')}: {self.title} ({self.kind})"


def questions() -> list[Question]:
    """All of panels and annotations."""
    return [question for board in dashboards() for question in (*_of_panels(board), *_of_annotations(board))]


def alert_questions() -> list[Question]:
    """Those of the alert rules."""
    rules = [rule for group in alerting()["groups"] for rule in group["rules"]]
    return [Question("alerting", rule["title"], "alert", rule["data"][0]["model"]["rawSql"]) for rule in rules]


def _of_panels(board: dict[str, Any]) -> Iterator[Question]:
    repeated = ""
    for panel in board["panels"]:
        if panel["type"] == "row":
            repeated = panel.get("repeat", "")
        for target in panel.get("targets", []):
            yield Question(board["uid"], panel["title"], target["queryType"], target["rawSql"], panel["type"], repeated)


def _of_annotations(board: dict[str, Any]) -> Iterator[Question]:
    for one in board["annotations"]["list"]:
        yield Question(board["uid"], one["name"], "annotation", one["target"]["rawSql"])


def choices(board: dict[str, Any], seeded: Seeded, asked: Asked) -> dict[str, Choice]:
    """What is chosen when a dashboard is opened: All where there is one, else the first option; a sensor in trouble."""
    chosen: dict[str, Choice] = {}
    for variable in board["templating"]["list"]:
        sql = replace(asked, choices=chosen).expand(variable["query"])
        options = tuple(str(row[0]) for row in query(seeded.client, sql).rows)
        assert options, f"variable {variable['name']} has no values"
        everything = bool(variable.get("includeAll"))
        if variable["name"] == "sensor":
            options = (seeded.worst_sensor,)
        chosen[variable["name"]] = Choice(options if everything else options[:1], everything)
    return chosen


def is_number(kind: str) -> bool:
    """Whether Grafana draws a column of this ClickHouse type as numbers."""
    inner = re.sub(r"^(Nullable|LowCardinality)\((.*)\)$", r"\2", kind)
    return bool(re.match(r"(U?Int|Float)\d+$", inner))


def is_text(kind: str) -> bool:
    """Whether it is text."""
    return "String" in kind and not kind.startswith(("Array", "Map", "Tuple"))


def is_time(kind: str) -> bool:
    """Whether it is an instant."""
    return bool(re.match(r"(Nullable\()?DateTime(64)?\b", kind))


def shape(result: Result) -> dict[str, str]:
    """Column name -> type."""
    return dict(zip(result.columns, result.types, strict=True))
