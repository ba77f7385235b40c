"""docs/http.md does what it says: commands run, configuration loads, the answer is one."""

import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from flows.configuration import load
from infra.clickhouse import migrate
from infra.clickhouse.client import Address, connect
from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from tests.infra.http_service import NDJSON, in_database, ndjson, reading, serving, settings_for

PAGE = (Path(__file__).parents[2] / "docs" / "http.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def blocks(language: str) -> str:
    return "".join(text for name, text in BLOCKS if name == language)


def test_configuration_loads(tmp_path: Path) -> None:
    file = tmp_path / "streamgauge.toml"
    file.write_text(blocks("toml"))
    http = load(file, {}).http
    assert {name: key.roles for name, key in http.keys.items()} == {"gateway-7": ("write",), "notebook": ("read",)}


def test_every_setting_and_metric_it_names_is_there() -> None:
    from flows.settings import Http
    from infra.observe.metrics import VOCABULARY

    named = set(re.findall(r"`(streamgauge_\w+)`", PAGE))
    assert named <= {one.name for one in VOCABULARY}
    fields = {field.name for field in msgspec.structs.fields(Http)}
    assert {"max_body_bytes", "queue_bytes", "exports"} <= fields & set(re.findall(r"`(\w+)`", PAGE))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_commands_run(broker: Broker, clickhouse: EmbeddedClickHouse, database: str, tmp_path: Path) -> None:
    with connect(Address(port=clickhouse.port, database=database)) as client:
        migrate.init(client)
    settings = in_database(settings_for(broker), clickhouse.port, database)
    with serving(settings) as http:
        wrong = http.post("/readings", content=ndjson([reading(), {"sensor_id": "x", "timestamp": 1}]), headers=NDJSON)
        assert wrong.json() == msgspec.json.decode(blocks("json"))
        for line in blocks("sh").splitlines():
            here = line.replace("http://127.0.0.1:8080", str(http.base_url).rstrip("/")).replace("curl ", "curl -sf ")
            run = subprocess.run(["sh", "-c", here], cwd=tmp_path, capture_output=True, check=False, timeout=60)
            assert run.returncode == 0, f"{line}: {run.stderr!r}"
    assert (tmp_path / "readings.parquet").read_bytes().startswith(b"PAR1")
