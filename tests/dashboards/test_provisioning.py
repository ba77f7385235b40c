"""Files for a Grafana that is set up by files fit what `push` sends."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.grafana.files import GENERATED, PROVISIONING
from infra.grafana.names import CONTACT_POINT, FOLDER_TITLE, FOLDER_UID
from infra.grafana.push import ClickHouse, datasource

yaml = pytest.importorskip("yaml")

FOLDER = GENERATED / PROVISIONING


def read(path: Path, **environment: str) -> dict[str, Any]:
    """A file as Grafana reads it, with variables of its environment filled in."""
    text = path.read_text(encoding="utf-8")
    for name, value in environment.items():
        text = text.replace(f"${name}", value)
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def test_the_data_source_is_the_one_that_is_pushed() -> None:
    found = read(
        FOLDER / "datasources" / "streamgauge.yaml",
        STREAMGAUGE_CLICKHOUSE__HOST="clickhouse",
        STREAMGAUGE_GRAFANA__CLICKHOUSE_USERNAME="reader",
        STREAMGAUGE_GRAFANA__CLICKHOUSE_PASSWORD="secret",
    )
    (source,) = found["datasources"]
    assert source.pop("secureJsonData") == {"password": "secret"}
    pushed = datasource(
        ClickHouse(host="clickhouse", port=8123, protocol="http", database="streamgauge", username="reader")
    )
    assert source == {name: value for name, value in pushed.items() if name != "isDefault"}


def test_dashboards_and_rules_go_into_one_folder() -> None:
    (provider,) = read(FOLDER / "dashboards" / "streamgauge.yaml")["providers"]
    assert (provider["folder"], provider["folderUid"]) == (FOLDER_TITLE, FOLDER_UID)
    rules = json.loads((FOLDER / "alerting" / "streamgauge.json").read_text(encoding="utf-8"))
    assert {group["folder"] for group in rules["groups"]} == {FOLDER_TITLE}
    told = {rule["notification_settings"]["receiver"] for group in rules["groups"] for rule in group["rules"]}
    assert told == {CONTACT_POINT} == {point["name"] for point in rules["contactPoints"]}


def test_grafana_would_fill_in_nothing_else() -> None:
    """It does so in all of a provisioning file but the models of queries and the annotations of alert rules."""
    rules = json.loads((FOLDER / "alerting" / "streamgauge.json").read_text(encoding="utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            del rule["data"], rule["annotations"]
    left = json.dumps(rules)
    assert left.count("$") == left.count("$STREAMGAUGE_ALERT_EMAIL") == 1
