"""A sensor is deleted from every table, the others are as they were, and the audit still agrees."""

import subprocess
import sys

import pytest

from infra.clickhouse.audit import audit
from infra.clickhouse.client import Address, connect
from infra.clickhouse.forget import forget, look
from operators.records import TABLES
from tests.running import MakeSite, Site

YEAR_S = 365 * 86_400


@pytest.fixture(scope="module")
def full(make_site: MakeSite) -> Site:
    site = make_site("forgetful")
    site.run_to_end("--close")
    return site


def command(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "flows.cli", "--config", str(site.home / "empty.toml"), "db", *arguments]
    return subprocess.run(argv, env=site.whole_environment, capture_output=True, text=True, check=False, timeout=60)


def test_a_name_is_only_a_name(full: Site) -> None:
    with connect(Address(port=full.clickhouse_port, database=full.database)) as client:
        readings = client.command("SELECT count() FROM readings")
        for name in ("' OR 1 = 1 --", "\\' OR 1 = 1", "{sensor}"):
            assert look(client, name) == []
            forget(client, name)
        assert client.command("SELECT count() FROM readings") == readings


def test_a_sensor_is_forgotten(full: Site) -> None:
    with full.asking() as ask:
        sensor = str(ask("SELECT sensor_id FROM readings_final GROUP BY sensor_id ORDER BY count() DESC, 1 LIMIT 1"))
        before = {table: _others(full, table, sensor) for table in ("readings", "windows", "data_quality")}
        mine = int(ask(f"SELECT count() FROM readings_final WHERE sensor_id = '{sensor}'"))

        dry = command(full, "forget", sensor, "--dry-run")
        assert dry.returncode == 0, dry.stderr
        assert f"readings {mine:,}" in " ".join(dry.stdout.split())
        assert "nothing is deleted" in dry.stdout
        refused = command(full, "forget", sensor)
        assert refused.returncode == 2
        assert "add --yes" in refused.stderr
        assert ask(f"SELECT count() FROM readings_final WHERE sensor_id = '{sensor}'") == mine

        done = command(full, "forget", sensor, "--yes")
        assert done.returncode == 0, done.stderr
        for table, columns in {name: table.columns for name, table in TABLES.items()}.items():
            texts = [f"toString(`{column.name}`)" for column in columns]
            sql = f"SELECT countIf(position(concat({', '.join(texts)}), '\"{sensor}\"') > 0) FROM {table}"
            assert ask(sql) == 0, table
            if any(column.name == "sensor_id" for column in columns):
                assert ask(f"SELECT count() FROM {table} WHERE sensor_id = '{sensor}'") == 0, table
        assert before == {table: _others(full, table, sensor) for table in before}
    with connect(Address(port=full.clickhouse_port, database=full.database)) as client:
        found = audit(client, topics=[full.topic], retention_s=YEAR_S, fresh_s=0)
        assert found.findings == []
        assert look(client, sensor) == []
        assert client.command(
            "SELECT sum(JSONExtractInt(detail, 'on_time')) FROM events_final WHERE kind = 'forgotten'"
        )
        forget(client, sensor)  # once more does no harm
        assert audit(client, topics=[full.topic], retention_s=YEAR_S, fresh_s=0).findings == []
    again = command(full, "forget", sensor, "--yes")
    assert again.returncode == 1
    assert "nothing is stored of" in again.stderr


def _others(site: Site, table: str, sensor: str) -> list[dict[str, object]]:
    return [{k: str(v) for k, v in row.items()} for row in site.stored(table) if row["sensor_id"] != sensor]
