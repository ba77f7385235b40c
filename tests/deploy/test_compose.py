"""compose.yaml: by the Compose Specification, with commands and settings that our own CLI understands, and hardened.

COMPOSE_UP=1 brings it up where a Docker engine is, sends readings over HTTP and finds them in ClickHouse.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import jsonschema
import pytest
import yaml

from flows.settings import Settings
from infra.deploy import requirements
from tests.deploy.commands import CONFIG, parsed, settings
from tests.deploy.dockerfile import ROOT
from tests.kafka import eventually

DEPLOY = ROOT / "infra" / "deploy"
FILE = DEPLOY / "compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, one in SERVICES.items() if one["image"].startswith("streamgauge:"))
SCHEMA = json.loads((Path(__file__).parent / "compose_spec" / "schema.json").read_text(encoding="utf-8"))


def command_of(name: str) -> list[list[str]]:
    """What a service of ours runs, each after `streamgauge`."""
    service = SERVICES[name]
    if "entrypoint" not in service:
        return [service["command"]]
    (script,) = service["command"]
    return [words.split()[1:] for words in re.findall(r"streamgauge [^|]*", script)]


def environment_of(name: str) -> dict[str, str]:
    """With what an env_file gives, made up."""
    given = dict(SERVICES[name].get("environment", {}))
    if "env_file" in SERVICES[name]:
        digest = "0" * 64
        given["STREAMGAUGE_HTTP__KEYS"] = f'{{ sender = {{ sha256 = "{digest}", roles = ["write"] }} }}'
    return given


def settings_of(name: str, secrets: Path) -> Settings:
    return settings(DEPLOY / "compose" / "streamgauge.toml", environment_of(name), secrets=secrets)


def test_it_is_what_the_specification_wants() -> None:
    jsonschema.validate(COMPOSE, SCHEMA)
    broken = json.loads(json.dumps(COMPOSE))
    broken["services"]["worker"]["depends_on"]["kafka"] = {"condition": "service_hungry"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, SCHEMA)


@pytest.mark.parametrize("name", OURS)
def test_commands_and_settings_are_understood(name: str, tmp_path: Path) -> None:
    for argv in command_of(name):
        assert argv[:2] == ["--config", CONFIG]
        assert parsed(argv)
    read = settings_of(name, tmp_path)
    assert read.kafka.bootstrap == "kafka:19092"
    assert read.clickhouse.host == "clickhouse"


def test_secrets_are_files(tmp_path: Path) -> None:
    assert settings_of("worker", tmp_path).clickhouse.password == "secret-of-clickhouse_writer"
    assert settings_of("tables", tmp_path).clickhouse.username == "streamgauge_admin"
    for name, service in SERVICES.items():
        for variable in service.get("environment", {}):
            assert not re.search(r"PASSWORD$|TOKEN$|SECRET$", variable), f"{name}: {variable}"
        for secret in service.get("secrets", []):
            assert secret in COMPOSE["secrets"]
    users = (ROOT / "infra/clickhouse/server/users.sql").read_text(encoding="utf-8")
    for role in re.findall(r"change-me-(\w+)", (DEPLOY / "compose/clickhouse-users.sh").read_text(encoding="utf-8")):
        assert f"'change-me-{role}'" in users


def test_the_script_makes_all_secrets_and_keeps_them(tmp_path: Path) -> None:
    script = shutil.copy(DEPLOY / "compose" / "secrets.sh", tmp_path)
    subprocess.run([script], check=True, capture_output=True)
    folder = tmp_path / "secrets"
    made = {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()}
    assert {Path(one["file"]).name for one in COMPOSE["secrets"].values()} <= set(made)
    assert all(re.fullmatch(r"(sg_)?[0-9a-f]{64}", text) for name, text in made.items() if name != "http.env")
    assert folder.stat().st_mode & 0o077 == 0
    name, _, keys = made["http.env"].strip().partition("=")
    read = settings(DEPLOY / "compose" / "streamgauge.toml", {name: keys}, secrets=tmp_path)
    assert read.http.keys["sender"].roles == ("write",)
    assert read.http.keys["reader"].roles == ("read",)
    subprocess.run([script], check=True, capture_output=True)
    assert {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()} == made


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_each_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"cpus", "memory"} <= set(service["deploy"]["resources"]["limits"])
    # Kafka's and ClickHouse's images write their configuration when they start.
    assert service.get("read_only") or "kafka" in service["image"] or "clickhouse" in service["image"]
    assert not service.get("privileged")
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:")
    tag = service["image"].rpartition(":")[2]
    assert re.match(r"v?\d+\.\d+\.\d+", tag), "the image is pinned"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_the_order_of_starting_is_by_health(name: str) -> None:
    service = SERVICES[name]
    for other, how in service.get("depends_on", {}).items():
        ends = SERVICES[other].get("restart") == "no"
        assert how["condition"] == ("service_completed_successfully" if ends else "service_healthy")
        checked = SERVICES[other].get("healthcheck", {})
        assert ends or "test" in checked or other in OURS
        if name != "simulator":  # which is for `full` with `demo`
            assert set(service["profiles"]) <= set(SERVICES[other]["profiles"]), f"{other} is missing in a profile"


def test_volumes_and_files_are_there() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (DEPLOY / source).exists(), f"{name}: {source}"
        assert set(service.get("build", {}).get("args", {}).get("EXTRAS", "").split()) <= {
            "console", "mqtt", "http", "otel", "schemas", "apprise"
        }  # fmt: skip
    used = {volume.split(":")[0] for one in SERVICES.values() for volume in one.get("volumes", [])}
    assert set(COMPOSE["volumes"]) <= used
    for one in COMPOSE["configs"].values():
        assert (DEPLOY / one["file"]).exists()


def test_the_extras_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert requirements.extras(SERVICES["worker"]["build"]["args"]["EXTRAS"].split())


def test_addresses_are_those_of_the_demo() -> None:
    published = {port for one in SERVICES.values() for port in one.get("ports", [])}
    default = Settings()
    for address in (
        default.kafka.bootstrap,
        f"{default.clickhouse.host}:{default.clickhouse.port}",
        default.mqtt.url.removeprefix("mqtt://"),
        default.http.listen,
        default.console.listen,
        default.grafana.url.removeprefix("http://"),
    ):
        port = address.rpartition(":")[2]
        assert f"{address}:{port}" in published


def test_prometheus_asks_services_that_there_are() -> None:
    asked = yaml.safe_load((DEPLOY / "compose" / "prometheus.yml").read_text(encoding="utf-8"))
    for job in asked["scrape_configs"]:
        for target in job["static_configs"][0]["targets"]:
            assert target.partition(":")[0] in SERVICES


@pytest.mark.skipif("COMPOSE_UP" not in os.environ, reason="COMPOSE_UP=1 brings compose.yaml up: needs Docker, minutes")
def test_it_comes_up_and_readings_arrive() -> None:
    compose = ["docker", "compose", "--file", str(FILE)]
    subprocess.run([DEPLOY / "compose" / "secrets.sh"], check=True)
    secrets = DEPLOY / "compose" / "secrets"
    try:
        subprocess.run([*compose, "up", "--build", "--detach"], check=True, timeout=3_600)
        reading = b'{"sensor_id": "compose", "value": 21.5, "timestamp": "2026-01-01T00:00:00Z"}'
        key = (secrets / "http_key").read_text(encoding="utf-8")
        request = Request("http://127.0.0.1:8080/readings?ack=all", reading, {"Authorization": f"Bearer {key}"})

        def sent() -> bool:
            try:
                with urlopen(request, timeout=30) as answer:
                    return bool(answer.status == 202)
            except OSError:
                return False

        def stored() -> bool:
            sql = b"SELECT count() FROM streamgauge.readings_final WHERE sensor_id = 'compose'"
            login = {
                "X-ClickHouse-User": "streamgauge_reader",
                "X-ClickHouse-Key": (secrets / "clickhouse_reader").read_text(encoding="utf-8"),
            }
            with urlopen(Request("http://127.0.0.1:8123/", sql, login), timeout=30) as answer:
                return bool(answer.read().strip() == b"1")

        assert eventually(sent, within_s=300)
        assert eventually(stored, within_s=120)
        for url in ("http://127.0.0.1:3000/api/health", "http://127.0.0.1:9090/-/healthy", "http://127.0.0.1:8088/"):
            with urlopen(url, timeout=30) as answer:
                assert answer.status == 200
    finally:
        subprocess.run([*compose, "down", "--volumes"], check=False, timeout=600)
