"""Dashboards and alert rules: current, complete, and every query gives what its panel draws."""

import re
import time
from dataclasses import replace
from typing import Any

import pytest

from infra.clickhouse.query import Result, query
from infra.grafana.files import dashboards
from infra.grafana.generate import stale
from tests.dashboards.boards import Question, choices, is_number, is_text, is_time, questions, shape
from tests.dashboards.macros import Asked, Choice
from tests.dashboards.seeding import Seeded

BOARDS = {board["uid"]: board for board in dashboards()}
QUESTIONS = questions()


def test_the_generated_files_are_current() -> None:
    assert not stale(), "run `streamgauge grafana generate`"


@pytest.fixture(scope="session")
def asked(seeded: Seeded) -> dict[str, Asked]:
    """Each dashboard as it is opened, by uid."""
    plain = Asked(from_ms=seeded.from_ms, to_ms=seeded.to_ms)
    return {uid: replace(plain, choices=choices(board, seeded, plain)) for uid, board in BOARDS.items()}


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_every_query_gives_what_is_drawn(question: Question, seeded: Seeded, asked: dict[str, Asked]) -> None:
    result = query(seeded.client, scoped(question, asked[question.board]).expand(question.sql), max_rows=20_000)
    assert result.rows, "an empty panel"
    check_shape(question, result)
    assert not result.truncated, "more points than a chart can show"


def scoped(question: Question, opened: Asked) -> Asked:
    """As the first of the panels that are made of a repeated one; in wall-clock time, where that is asked for."""
    name = question.repeated
    if "stored_at >= $__fromTime" in question.sql:
        now_ms = int(time.time() * 1000)
        opened = replace(opened, from_ms=now_ms - 3_600_000, to_ms=now_ms + 1000)
    return replace(opened, scoped={name: Choice(opened.choices[name].values[:1])}) if name else opened


def check_shape(question: Question, result: Result) -> None:
    kinds = shape(result)
    if question.kind == "timeseries":
        assert result.columns[0] == "time"
        assert is_time(kinds["time"])
        times = [row[0] for row in result.rows]
        assert times == sorted(times), "the plugin wants long series in order of time"
        rest = {name: kind for name, kind in kinds.items() if name != "time"}
        assert [name for name, kind in rest.items() if is_text(kind)] in ([], ["series"])
        assert any(is_number(kind) for kind in rest.values())
        assert all(is_number(kind) or is_text(kind) for kind in rest.values()), rest
        if "series" in rest:
            assert len({row[:2] for row in map(tuple, result.rows)}) == len(result.rows), (
                "one value per series and time"
            )
    elif question.kind == "annotation":
        assert is_time(kinds["time"])
        assert is_text(kinds["text"])
    elif question.panel == "stat":
        as_text = len(kinds) == 1 and is_text(next(iter(kinds.values())))
        assert as_text or all(is_number(kind) for kind in kinds.values()), kinds
        assert len(result.rows) == 1
    elif question.panel == "barchart":
        first, *values = kinds.values()
        assert is_text(first), "names of the bars"
        assert all(is_number(kind) for kind in values)
    else:
        drawn = (is_number, is_text, is_time)
        odd = {name: kind for name, kind in kinds.items() if not any(one(kind) for one in drawn) and kind != "Bool"}
        assert not odd, f"no cell of a table shows {odd}"


@pytest.mark.parametrize("uid", BOARDS)
def test_choices_and_intervals_change_what_is_asked(uid: str, seeded: Seeded, asked: dict[str, Asked]) -> None:
    opened = asked[uid]
    single = {name: Choice(one.values[:1]) for name, one in opened.choices.items()}
    hostile = {name: Choice(("o'neill \\ (x)",)) if one.everything else one for name, one in opened.choices.items()}
    for some in (
        replace(opened, choices=single, interval_ms=1),
        replace(opened, choices=single, interval_ms=86_400_000),
        replace(opened, choices=hostile),
    ):
        for question in QUESTIONS:
            if question.board == uid:
                query(seeded.client, scoped(question, some).expand(question.sql), max_rows=20_000)


@pytest.mark.parametrize(
    "question", [one for one in QUESTIONS if one.kind == "timeseries"], ids=lambda question: question.name
)
def test_long_intervals_lose_nothing(question: Question, seeded: Seeded, asked: dict[str, Asked]) -> None:
    """An alias hides the column of its name from WHERE: the time range would be compared with begins of intervals."""
    opened = replace(asked[question.board], from_ms=seeded.from_ms + 360_000)
    daily = replace(scoped(question, opened), interval_ms=86_400_000)
    assert query(seeded.client, daily.expand(question.sql)).rows


@pytest.mark.parametrize("question", [one for one in QUESTIONS if one.repeated], ids=lambda one: one.name)
def test_repeated_panels_see_their_own_value(question: Question) -> None:
    assert f"IN (${{{question.repeated}:singlequote}})" in question.sql
    seen = f"${question.repeated})"
    assert seen not in question.sql, "$__conditionalAll would see what is chosen for all"


@pytest.mark.parametrize("uid", BOARDS)
def test_a_dashboard_is_whole(uid: str) -> None:
    board = BOARDS[uid]
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert board["description"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    titles = [panel["title"] for panel in panels]
    assert len(set(titles)) == len(titles)
    for panel in panels:
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"].get("unit") or panel["type"] == "table", panel["title"]
    for line in {panel["gridPos"]["y"] for panel in panels}:
        across = [panel["gridPos"] for panel in panels if panel["gridPos"]["y"] == line]
        assert sum(place["w"] for place in across) == 24, f"panels at y={line} leave a hole: {across}"
        assert len({place["h"] for place in across}) == 1, f"panels at y={line} differ in height"
    names = {variable["name"] for variable in board["templating"]["list"]}
    assert used_variables(board) <= names


def used_variables(board: dict[str, Any]) -> set[str]:
    asked = [question.sql for question in QUESTIONS if question.board == board["uid"]]
    return {name for sql in asked for name in re.findall(r"\$\{?([a-z]\w*)", sql)}
