"""docs/grafana.md is about what is there."""

import re
from pathlib import Path

from flows.commands.grafana import app
from infra.grafana.files import alerting, dashboards

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "grafana.md").read_text(encoding="utf-8")
NUMBERS = {7: "Seven", 8: "eight"}


def test_it_names_every_dashboard_and_how_many_rules_there_are() -> None:
    listed = re.findall(r"^\| ([A-Z][\w ]+) \|", TEXT, re.MULTILINE)
    assert set(listed) == {board["title"].removeprefix("streamgauge / ") for board in dashboards()}
    rules = alerting()["groups"][0]["rules"]
    assert f"{NUMBERS[len(dashboards())]} dashboards and {NUMBERS[len(rules)]} alert rules" in TEXT


def test_commands_and_files_exist() -> None:
    commands = {command.callback.__name__ for command in app.registered_commands if command.callback is not None}
    assert set(re.findall(r"streamgauge grafana (\w+)", TEXT)) <= commands
    files = [name for name in re.findall(r"`((?:infra|docs)/[\w./]+)`", TEXT) if not (ROOT / name).exists()]
    assert not files
