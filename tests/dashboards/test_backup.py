"""A copy of the tables as Parquet, put into an empty database, says what the original says."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from infra.clickhouse import backup, migrate
from infra.clickhouse.client import ClickHouseError, connect
from operators.records import TABLES
from tests.dashboards.seeding import Seeded
from tests.flows.commands import streamgauge


def test_there_and_back(seeded: Seeded, tmp_path: Path) -> None:
    given = {"STREAMGAUGE_CLICKHOUSE__PORT": str(seeded.address.port)}
    here = given | {"STREAMGAUGE_CLICKHOUSE__DATABASE": seeded.address.database}
    there = given | {"STREAMGAUGE_CLICKHOUSE__DATABASE": f"{seeded.address.database}_again"}
    folder = tmp_path / "copy"
    done = streamgauge("db", "backup", folder, env=here)
    assert done.returncode == 0, done.stderr
    restored = streamgauge("db", "restore", folder, env=there)
    assert restored.returncode == 0, restored.stderr
    with connect(replace(seeded.address, database=there["STREAMGAUGE_CLICKHOUSE__DATABASE"])) as client:
        for _ in range(2):  # restored twice is restored once
            for table in TABLES:
                rows = f"SELECT count(), sum(cityHash64(toString(tuple(*)))) FROM {table}_final"
                one, other = (asked.query(rows).result_rows for asked in (seeded.client, client))
                assert one == other, table
                sql = f"SELECT count() FROM {table} FINAL WHERE stored_at NOT IN (SELECT stored_at FROM {{}})"
                assert client.command(sql.format(f"{seeded.address.database}.{table}")) == 0
            backup.restore(client, folder)
        client.command(f"DROP DATABASE {client.database}", use_database=False)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {name.split("-")[0].removesuffix(".parquet") for name in manifest["files"]} <= set(TABLES)
    assert pq.read_metadata(folder / "readings-202601.parquet").num_rows == manifest["files"]["readings-202601.parquet"]
    again = streamgauge("db", "backup", folder, env=here)
    assert again.returncode == 1
    assert "is not empty; name a new directory" in again.stderr


def test_what_is_no_copy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClickHouseError, match=r"no whole copy: manifest\.json cannot be read"):
        backup.read_manifest(tmp_path)
    manifest = {"made_at": "now", "schema": 1, "files": {"readings-202601.parquet": 1}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ClickHouseError, match=r"no whole copy: readings-202601\.parquet missing"):
        backup.read_manifest(tmp_path)
    (tmp_path / "readings-202601.parquet").touch()
    assert backup.read_manifest(tmp_path).files == {"readings-202601.parquet": 1}
    later = len(migrate.migrations()) + 1
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"schema": later}))
    with pytest.raises(ClickHouseError, match="made by a later release"):
        backup.read_manifest(tmp_path)
