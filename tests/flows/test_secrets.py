"""Secrets: from files of their own, and in nothing that anybody reads."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from flows.configuration import load, sources
from flows.places import connection
from flows.settings import Secret, Settings, SettingsError
from flows.settings_secrets import secrets, shown
from tests.flows.commands import started, streamgauge
from tests.kafka import eventually

PLANT = "Zyx9-"
"""Every secret that is planted begins so."""
NOWHERE = """
[kafka]
bootstrap = "127.0.0.1:9"
[kafka.client]
"security.protocol" = "SASL_SSL"
"sasl.mechanism" = "PLAIN"
"sasl.username" = "u"
"ssl.keystore.password" = "Zyx9-store"
[clickhouse]
port = 9
[mqtt]
url = "mqtt://127.0.0.1:9"
username = "u"
[notify]
channels = [
  { name = "hook", url = "http://u:Zyx9-login@127.0.0.1:9/Zyx9-path" },
  { name = "mail", host = "127.0.0.1", sender = "a@b", recipients = ["a@b"] },
  { name = "chat" },
]
"""


def secret_fields(struct: type[msgspec.Struct] = Settings, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where a secret can be given, in tables; "0", "1" and "2" are channels."""
    for field in msgspec.structs.fields(struct):
        here = (*path, field.encode_name)
        if field.type is Secret:
            yield here
        for kind in (field.type, *get_args(field.type)):
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                if kind is field.type:
                    yield from secret_fields(kind, here)
                elif field.encode_name == "channels":
                    found = [one for number in "012" for one in secret_fields(kind, (*here, number))]
                    # What has an address of apprise is nothing else.
                    yield from (one for one in found if (one[-1] == "apprise") == (one[-2] == "2"))


def secret(path: tuple[str, ...]) -> str:
    """What is planted there; of apprise an address."""
    text = f"{PLANT}{'-'.join(path)}"
    return f"json://127.0.0.1:9/{text}" if path[-1] == "apprise" else text


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration with a secret of its own in every setting that takes one, half of them in files; no server is
    where it says."""
    import tomllib

    home = tmp_path_factory.mktemp("planted")
    raw: dict[str, Any] = tomllib.loads(NOWHERE)
    for number, path in enumerate(secret_fields()):
        table: Any = raw
        for step in path[:-1]:
            table = table[int(step)] if step.isdigit() else table.setdefault(step, {})
        planted = secret(path)
        if number % 2 and path != ("grafana", "token"):
            file = home / f"secret-{number}"
            file.write_text(planted + "\n")
            table[f"{path[-1]}_file"] = str(file)
        else:
            table[path[-1]] = planted
    config = home / "streamgauge.toml"
    config.write_text("".join(f"[{name}]\n" + _toml(table) for name, table in raw.items()))
    return config


def _toml(table: dict[str, Any]) -> str:
    def text(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{json.dumps(key)} = {text(one)}" for key, one in value.items()) + "}"
        return "[" + ", ".join(map(text, value)) + "]" if isinstance(value, list) else json.dumps(value)

    return "".join(f"{json.dumps(key)} = {text(one)}\n" for key, one in table.items())


def test_every_secret_is_read_and_known_as_one(planted: Path) -> None:
    settings = load(planted, {})
    hidden = set(secrets(settings))
    assert {secret(path) for path in secret_fields()} | {f"{PLANT}store"} <= hidden
    told = connection(settings).config({})
    wanted = {"sasl.password": "password", "ssl.key.password": "key_password"}
    assert {name: told[name] for name in wanted} == {name: f"{PLANT}kafka-{field}" for name, field in wanted.items()}
    assert told["sasl.oauthbearer.client.secret"] == f"{PLANT}kafka-oauth_secret"
    assert PLANT not in repr(connection(settings))
    assert PLANT not in repr(settings.clickhouse)


@pytest.mark.parametrize(
    "command",
    [
        ("explain",),
        ("check",),
        ("db", "status"),
        ("grafana", "check"),
    ],
    ids=" ".join,
)
def test_no_command_shows_one(planted: Path, command: tuple[str, ...]) -> None:
    run = streamgauge("--config", planted, *command)
    assert run.stdout + run.stderr
    assert PLANT not in run.stdout + run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("command", "says"), [(("run", "sensors"), "trying again"), (("notify",), "Kafka does not answer")], ids=str
)
def test_no_log_shows_one(planted: Path, tmp_path: Path, command: tuple[str, ...], says: str) -> None:
    log = tmp_path / "log"
    environment = {"STREAMGAUGE_OBSERVE__LOG_FILE": str(tmp_path / "file.log"), "STREAMGAUGE_DATA_DIR": str(tmp_path)}
    process = started("--config", str(planted), *command, env=environment, log=log)
    try:
        assert eventually(lambda: says in log.read_text(), within_s=30), log.read_text()
    finally:
        process.stop()
    file = tmp_path / "file.log"
    said = log.read_text() + (file.read_text() if file.exists() else "")
    assert PLANT not in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "text",
    [
        "[kafka]\npassword = [1, 'Zyx9-a']",
        "[notify]\nchannels = [{ name = 'x', url = 'http://h', secret = ['Zyx9-b'] }]",
        "[kafka]\nclient = { 'sasl.password' = ['Zyx9-c'] }",
        "[grafana]\ntoken = { a = 'Zyx9-d' }",
        "[kafka]\npassword = 'Zyx9-e",
    ],
)
def test_no_mistake_shows_one(tmp_path: Path, text: str) -> None:
    file = tmp_path / "streamgauge.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(file, {})
    assert PLANT not in str(caught.value)


def test_a_secret_comes_from_a_file_of_its_own(tmp_path: Path) -> None:
    held = tmp_path / "password"
    held.write_text("swordfish\n")
    environment = {"STREAMGAUGE_CLICKHOUSE__PASSWORD_FILE": str(held)}
    empty = tmp_path / "empty.toml"
    empty.touch()
    assert load(empty, environment).clickhouse.password == "swordfish"
    told = {one.name: one for one in sources(empty, environment)}
    assert told["clickhouse.password"][1:] == ("***", "environment")
    assert "clickhouse.password_file" not in told


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"PASSWORD_FILE": "/no/such"}, "kafka.password_file = '/no/such': No such file or directory"),
        ({"PASSWORD_FILE": "5"}, "kafka.password_file: expected the path of a file"),
        ({"PASSWORD_FILE": "/dev/null"}, "kafka.password_file = '/dev/null': empty; expected the secret alone"),
        ({"PASSWORD_FILE": "/dev/null", "PASSWORD": "x"}, "kafka.password is given, too; keep one of them"),
    ],
)
def test_a_mistake_with_a_file_is_one_line(tmp_path: Path, given: dict[str, str], said: str) -> None:
    empty = tmp_path / "empty.toml"
    empty.touch()
    with pytest.raises(SettingsError) as caught:
        load(empty, {f"STREAMGAUGE_KAFKA__{name}": value for name, value in given.items()})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_shown_of_addresses() -> None:
    assert shown("notify.channels.url", "https://hooks.example.org/services/T0/abc") == "https://hooks.example.org/***"
    assert shown("grafana.url", "https://me:pw@grafana.example.org/g") == "https://***@grafana.example.org/g"
    assert shown("kafka.client.sasl.password", "x") == "***"
    assert shown("kafka.client.sasl.oauthbearer.token.endpoint.url", "https://idp/t") == "https://idp/t"
