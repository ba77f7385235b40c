"""Bringing a Grafana to what is generated: against a stand-in for its API and, when asked, a real one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest

from infra.grafana.connection import Login
from infra.grafana.difference import differences
from infra.grafana.errors import GrafanaError
from infra.grafana.files import alerting, dashboards
from infra.grafana.names import CONTACT_POINT, DATASOURCE_UID, FOLDER_UID, RULE_GROUP
from infra.grafana.push import ClickHouse, Grafana
from tests.dashboards.fake_grafana import ADMIN, VIEWER, State, serving
from tests.flows.commands import streamgauge

CLICKHOUSE = ClickHouse(
    host="clickhouse.example",
    port=8123,
    protocol="http",
    database="streamgauge",
    username="streamgauge_reader",
    password="hunter2",
)
EMAIL = ("ops@plant.example", "night@plant.example")


@dataclass(frozen=True)
class There:
    """A stand-in that runs, and what speaks to it."""

    state: State
    url: str

    def grafana(self, token: str = ADMIN, email: tuple[str, ...] = EMAIL) -> Grafana:
        return Grafana(Login(url=self.url, token=token), CLICKHOUSE, email=email)

    def push(self, grafana: Grafana | None = None) -> list[str]:
        """What was done: an action for each thing."""
        asked = grafana or self.grafana()
        steps = asked.plan()
        for step in steps:
            asked.apply(step)
        return [step.action for step in steps]

    def differences(self, grafana: Grafana | None = None) -> list[str]:
        """Every place that differs, and what is missing altogether."""
        steps = (grafana or self.grafana()).plan()
        places = [f"{step.what}: {line}" for step in steps for line in step.differences]
        return places + [step.what for step in steps if step.action == "create"]


@pytest.fixture
def there() -> Iterator[There]:
    state = State()
    with serving(state) as url:
        yield There(state, url)


def test_push_brings_everything_and_again_changes_nothing(there: There) -> None:
    state = there.state
    assert len(there.differences()) == 4 + len(dashboards())
    assert not state.changes, "a plan changes nothing"
    assert set(there.push()) == {"create"}
    assert set(state.dashboards) == {board["uid"] for board in dashboards()}
    assert {folder for _, folder in state.dashboards.values()} == {FOLDER_UID}
    assert len(state.groups[FOLDER_UID, RULE_GROUP]["rules"]) == len(alerting()["groups"][0]["rules"])
    source = state.datasources[DATASOURCE_UID]["jsonData"]
    assert (source["host"], source["port"], source["username"]) == ("clickhouse.example", 8123, "streamgauge_reader")
    assert state.passwords == {"password": "hunter2"}
    (point,) = state.contact_points.values()
    assert (point["name"], point["settings"]["addresses"]) == (CONTACT_POINT, "ops@plant.example;night@plant.example")

    state.changes.clear()
    assert set(there.push()) == {"same"}
    assert not state.changes
    assert not there.differences()
    assert all(finding.ok for finding in there.grafana().check())


def test_what_somebody_changed_is_shown_and_put_right(there: There) -> None:
    there.push()
    state = there.state
    board, _ = state.dashboards["streamgauge-overview"]
    board["panels"][0]["title"] = "Mine"
    del board["panels"][-1]
    state.dashboards["streamgauge-windows"] = (state.dashboards["streamgauge-windows"][0], "elsewhere")
    group = state.groups[FOLDER_UID, RULE_GROUP]
    group["rules"][0]["for"] = "1h"
    group["rules"].append({"uid": "own", "title": "somebody's own", "data": []})
    del state.dashboards["streamgauge-alerts"]
    state.datasources[DATASOURCE_UID]["jsonData"]["port"] = 9000
    state.changes.clear()

    shown = "\n".join(there.differences())
    for line in (
        "dashboard streamgauge / Overview: panels[Readings a second].title: 'Mine', wanted 'Readings a second'",
        "dashboard streamgauge / Overview: panels: 10 of them, wanted 11",
        "dashboard streamgauge / Windows: folder: 'elsewhere', wanted 'streamgauge'",
        "rules[The flow counts nothing].for: '1h', wanted '2m'",
        "rules[somebody's own]: not wanted here",
        "data source streamgauge: jsonData.port: 9000, wanted 8123",
    ):
        assert line in shown
    assert shown.endswith("dashboard streamgauge / Alerts")
    wrong = {finding.text for finding in there.grafana().check() if not finding.ok}
    assert "dashboard streamgauge / Overview is not as generated" in wrong
    assert "dashboard streamgauge / Alerts is not there yet" in wrong
    assert not state.changes, "showing changes nothing"

    actions = there.push()
    assert (actions.count("update"), actions.count("create")) == (4, 1)
    assert len(state.changes) == 5
    assert not there.differences()


def test_without_addresses_the_policies_of_grafana_decide(there: There) -> None:
    def told() -> set[str]:
        rules = there.state.groups[FOLDER_UID, RULE_GROUP]["rules"]
        return {rule["notification_settings"]["receiver"] for rule in rules if "notification_settings" in rule}

    quiet = there.grafana(email=())
    there.push(quiet)
    assert not there.state.contact_points
    assert not told()
    there.push()
    assert told() == {CONTACT_POINT}
    there.push(quiet)
    assert not told()
    assert not there.differences(quiet)


def test_mistakes_are_explained(there: There) -> None:
    def said(token: str = ADMIN, url: str = there.url) -> str:
        told = set()
        for work in (Grafana.plan, lambda grafana: list(Grafana.check(grafana))):
            with pytest.raises(GrafanaError) as caught:
                work(Grafana(Login(url=url, token=token), CLICKHOUSE))
            assert "\n" not in str(caught.value)
            assert token == "" or token not in str(caught.value)
            told.add(str(caught.value))
        (text,) = told
        return text

    assert "does not know this token (Invalid API key)" in said("glsa_old")
    assert "no token for Grafana: make a service account" in said("")
    assert "does not answer (Connection refused)" in said(url="http://127.0.0.1:1")
    assert "expected an address" in said(url="grafana")
    assert "answers like no Grafana" in said(url=f"{there.url}/other")
    there.state.fails = True
    assert "failed at logging in (HTTP status 500): Internal server error" in said()
    there.state.fails = False
    there.state.plugins = ["prometheus"]
    assert "has no plugin grafana-clickhouse-datasource: install it" in said()
    assert not there.state.changes


def test_a_token_that_may_only_look_is_told_so(there: There) -> None:
    viewer = there.grafana(VIEWER)
    assert {step.action for step in viewer.plan()} == {"create"}
    with pytest.raises(GrafanaError, match=r"may not do that: data source streamgauge .*role Admin"):
        there.push(viewer)
    assert not there.state.changes


def test_what_is_in_the_way_is_told(there: There) -> None:
    there.state.datasources["mine"] = {"name": "streamgauge", "uid": "mine"}
    with pytest.raises(GrafanaError, match=r"refused data source streamgauge .*409.* the same name already exists"):
        there.push()


def test_check_tells_whether_grafana_reaches_clickhouse(there: There) -> None:
    assert any("the data source is not there yet" in finding.text for finding in there.grafana().check())
    there.push()
    there.state.reaches_clickhouse = False
    (wrong,) = (finding.text for finding in there.grafana().check() if not finding.ok)
    assert wrong == "Grafana does not reach ClickHouse: dial tcp 10.0.0.1:8123: connect: connection refused"


def run(environment: dict[str, str], *arguments: str, code: int = 0) -> list[str]:
    """What `streamgauge grafana ...` prints."""
    done = streamgauge("grafana", *arguments, env=environment)
    assert done.returncode == code, done
    assert not any(secret in done.stdout + done.stderr for secret in ("hunter2", ADMIN))
    return (done.stdout or done.stderr).splitlines()


def test_the_commands(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text(f"{ADMIN}\n")
    state = State(prefix="/tools/grafana")
    with serving(state) as url:
        environment = {
            "STREAMGAUGE_DATA_DIR": str(tmp_path),
            "STREAMGAUGE_GRAFANA__URL": url,
            "STREAMGAUGE_GRAFANA__TOKEN_FILE": str(secret),
            "STREAMGAUGE_GRAFANA__CLICKHOUSE_USERNAME": "streamgauge_reader",
            "STREAMGAUGE_GRAFANA__CLICKHOUSE_PASSWORD": "hunter2",
        }
        assert all(line.startswith("would create") for line in run(environment, "push", "--dry-run"))
        assert not state.changes
        assert all(line.startswith("created") for line in run(environment, "push"))
        assert state.passwords == {"password": "hunter2"}
        assert run(environment, "diff") == ["Grafana is as generated"]
        changed = environment | {"STREAMGAUGE_GRAFANA__CLICKHOUSE_PASSWORD": "hunter2-the-second"}
        assert [line for line in run(changed, "push", "--password") if not line.startswith("as it was")] == [
            "updated      data source streamgauge"
        ]
        assert state.passwords == {"password": "hunter2-the-second"}
        state.dashboards["streamgauge-overview"][0]["title"] = "Mine"
        assert run(environment, "diff", code=1) == [
            "dashboard streamgauge / Overview",
            "    title: 'Mine', wanted 'streamgauge / Overview'",
        ]
        assert any(line.startswith("look ") for line in run(environment, "check", code=1))
        secret.write_text("glsa_old")
        (line,) = run(environment, "push", code=1)
        assert line.startswith("error Grafana at http://127.0.0.1")
        secret.unlink()
        assert "token_file = " in run(environment, "push", code=1)[0]


def test_differences_forgive_what_grafana_adds() -> None:
    assert not list(differences({"a": [1, {"b": None}]}, {"a": [1, {"b": None, "id": 7}], "version": 3}))
    assert list(differences({"a": {"b": True}}, {"a": {"b": 1}})) == ["a.b: 1, wanted True"]
    assert list(differences({"a": {}, "b": None}, {})) == ["a: missing, wanted {}"]
    assert list(differences([{"title": "x", "y": 1}], [{"title": "x", "y": 2}], "rules")) == ["rules[x].y: 2, wanted 1"]


def test_urllib3_is_the_real_one() -> None:
    """niquests, which later releases of grafana-client bring, would put urllib3-future in its place."""
    installed = {one.metadata["Name"].lower() for one in metadata.distributions()}
    assert not installed & {"urllib3-future", "niquests"}
    asked = "import urllib3, clickhouse_connect, grafana_client; print(urllib3.__version__)"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()
    assert said == metadata.version("urllib3")


@pytest.mark.skipif("GRAFANA_URL" not in os.environ, reason="set GRAFANA_URL and GRAFANA_TOKEN to push to a Grafana")
def test_a_real_grafana() -> None:
    real = There(State(), os.environ["GRAFANA_URL"])
    grafana = real.grafana(os.environ["GRAFANA_TOKEN"], email=())
    real.push(grafana)
    assert not real.differences(grafana)
