"""A report: what the console's pages would be answered over a range, asked once and kept in one file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from infra.clickhouse.client import ClickHouseError
from infra.console.data.windows import GROUPED_BY
from infra.console.dataset import Ask
from infra.console.pages import DATASETS
from infra.console.report_page import page
from infra.console.stream import News, of_scope
from infra.console.table import Table
from infra.http.answers import Problem

Params = Mapping[str, Sequence[str]]

_ANOMALIES, _ALERTS, _GROUPS = 6, 20, 5
"""So many are shown in full: the latest anomalies, alerts of the range; groups of each window, those with the most
anomalies."""

_CHOICES: Mapping[tuple[str, str], Sequence[Params]] = {
    ("analytics", "anomalies"): [{"by": [by]} for by in ("sensor_type", "location")],
    ("analytics", "correlation"): [{"by": [by]} for by in ("sensor_type", "location", "sensor_id")],
    ("alerts", "alerts"): [{"show": [show]} for show in ("open", "past", "range")],
}
"""What people choose among on a page; every choice is in the report, the page's first one first."""

_OF_ONE_READING = ("reading", "around", "features")
_LEFT_OUT = {
    *(("options", "sensors"), ("alerts", "alert"), ("health", "workers"), ("health", "workers-course")),
    *(("detection", name) for name in _OF_ONE_READING),
}
"""Asked for one thing, or not of ClickHouse."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one question was answered. problem: why it was not, in words."""

    page: str
    dataset: str
    params: Params
    table: Table | None
    problem: str = ""


def report(ask: Ask) -> str:
    """HTML. ask: of the range and the choice of sensors. Raises ClickHouseError when it does not answer."""
    questions = _Questions(ask)
    questions.ask_all()
    news = News(ask.reader, lambda: ask.scope.to_ms).numbers()
    return page(
        {
            "from_ms": ask.scope.from_ms,
            "to_ms": ask.scope.to_ms,
            "made_ms": ask.now_ms,
            "locations": ask.scope.locations,
            "types": ask.scope.types,
            "sensors": ask.scope.sensors,
            "numbers": of_scope(ask.scope, "numbers", news),
            "answers": [_plain(one) for one in questions.answers],
        }
    )


class _Questions:
    """Each is asked once."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._asked: dict[str, Answer] = {}

    @property
    def answers(self) -> list[Answer]:
        """In the order they were asked for: a page takes the first that fits."""
        return list(self._asked.values())

    def ask_all(self) -> None:
        """Everything that can be looked at in a report."""
        for name, datasets in DATASETS.items():
            for dataset in datasets.values():
                if (name, dataset.name) not in _LEFT_OUT:
                    for params in _CHOICES.get((name, dataset.name), ({},)):
                        self._answer(name, dataset.name, params)
        self._windows()
        for row in self._rows("live", "anomalies", {})[:_ANOMALIES]:
            one: Params = {"sensor": [row["sensor_id"]], "time": [str(row["time"])]}
            for part in _OF_ONE_READING:
                self._answer("detection", part, one)
        for row in self._rows("alerts", "alerts", {"show": ["range"]})[:_ALERTS]:
            self._answer("alerts", "alert", {"alert": [row["alert_id"]]})

    def _windows(self) -> None:
        """The one that the page shows first, and then the others."""
        shown = self._answer("windows", "groups", {}).table
        first = shown.about.get("window", "") if shown else ""
        names = [row["window"] for row in self._rows("options", "windows", {})]
        for name in sorted(names, key=lambda name: name != first):
            of_one: Params = {"window": [name]}
            self._answer("windows", "course", of_one)
            for row in self._rows("windows", "groups", of_one)[:_GROUPS]:
                group = "\x1f".join(str(row[column]) for column in GROUPED_BY)
                self._answer("windows", "course", {**of_one, "group": [group]})

    def _rows(self, page_name: str, dataset: str, params: Params) -> list[dict[str, Any]]:
        table = self._answer(page_name, dataset, params).table
        return list(table.rows()) if table else []

    def _answer(self, page_name: str, dataset: str, params: Params) -> Answer:
        key = repr((page_name, dataset, params))
        if key not in self._asked:
            ask = self._ask
            if "sensor" in params:
                ask = replace(ask, scope=replace(ask.scope, sensors=tuple(params["sensor"])))
            self._asked[key] = _answered(replace(ask, given={**ask.given, **params}), page_name, dataset, params)
        return self._asked[key]


def _answered(ask: Ask, page_name: str, dataset: str, params: Params) -> Answer:
    try:
        table = DATASETS[page_name][dataset].make(ask)
    except Problem as problem:
        return Answer(page_name, dataset, params, None, str(problem))
    except ClickHouseError as error:
        if error.transient:
            raise
        return Answer(page_name, dataset, params, None, str(error))
    return Answer(page_name, dataset, params, table.with_about(from_ms=ask.scope.from_ms, to_ms=ask.scope.to_ms))


def _plain(answer: Answer) -> dict[str, Any]:
    told: dict[str, Any] = {"page": answer.page, "dataset": answer.dataset, "params": answer.params}
    if answer.table is None:
        return {**told, "problem": answer.problem}
    return {**told, "columns": answer.table.columns, "kinds": answer.table.kinds, "about": answer.table.about}
