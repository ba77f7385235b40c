"""Users and login as `streamgauge console` has them."""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import msgspec
import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.configuration import load
from flows.console import console
from flows.console_access import access_rules, users_file
from flows.settings import ClickHouse, Console, Settings, SettingsError
from infra.clickhouse import migrate
from infra.clickhouse.client import Address, connect
from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.simulate.runner import wall_clock_ms
from tests.certificates import Authority

PASSWORD = "correct horse battery"


def told(home: Path, *arguments: str, stdin: str = "", code: int = 0) -> str:
    """What `streamgauge console ARGUMENTS` prints; its data are in `home`."""
    env = {"STREAMGAUGE_DATA_DIR": str(home), "COLUMNS": "300"}
    result = CliRunner().invoke(app, ["console", *arguments], input=stdin, env=env)
    if code == 1:
        return str(result.exception)
    assert result.exit_code == code, result.output
    return result.output


def settings_for(home: Path, **given: Any) -> Settings:
    """Data in `home`. given: settings of [console]."""
    return Settings(data_dir=str(home), console=Console(**{"listen": "127.0.0.1:0", **given}))


@contextmanager
def serving(settings: Settings, clickhouse: EmbeddedClickHouse, **client: Any) -> Iterator[httpx.Client]:
    """A client of a console that runs."""
    with console(settings, Address(port=clickhouse.port, database=settings.clickhouse.database)) as ready:
        thread = Thread(target=ready.run, daemon=True)
        thread.start()
        try:
            with httpx.Client(base_url=ready.url, timeout=30, **client) as browser:
                yield browser
        finally:
            ready.server.stop()
            thread.join()


def test_users_are_added_listed_changed_and_removed(tmp_path: Path) -> None:
    assert "nobody yet" in told(tmp_path, "user", "list")
    add = ("--password-file", "-", "--role", "operator")
    assert told(tmp_path, "user", "add", "ada", *add, stdin=f"{PASSWORD}\n") == "added ada, operator\n"
    assert re.search(r"ada +│ operator", told(tmp_path, "user", "list"))
    assert "ada is admin now" in told(tmp_path, "user", "role", "ada", "admin")
    secret = tmp_path / "secret"
    secret.write_text(f"another {PASSWORD}\nand a second line\n")
    assert "another password" in told(tmp_path, "user", "password", "ada", "--password-file", str(secret))
    assert "removed ada" in told(tmp_path, "user", "remove", "ada")
    lines = told(tmp_path, "audit", "--format", "csv").splitlines()
    assert [line.split(",")[3] for line in lines] == [
        "action", "user added", "role changed", "password changed", "user removed",
    ]  # fmt: skip
    assert PASSWORD not in "".join(lines)
    assert "user removed" in told(tmp_path, "audit", "--format", "json").splitlines()[-1]


def test_a_mistake_is_told_in_a_line(tmp_path: Path) -> None:
    add = ("user", "add", "ada", "--password-file", "-")
    told(tmp_path, *add, stdin=f"{PASSWORD}\n")
    assert "there is a user 'ada' already" in told(tmp_path, *add, stdin=f"{PASSWORD}\n", code=1)
    assert "no name of a user" in told(tmp_path, "user", "add", "A b", *add[3:], stdin=f"{PASSWORD}\n", code=1)
    assert "12 to 256 characters, not 5" in told(tmp_path, "user", "add", "eve", *add[3:], stdin="short\n", code=1)
    assert "there is no user 'eve'" in told(tmp_path, "user", "remove", "eve", code=1)
    assert "no terminal to ask" in told(tmp_path, "user", "add", "eve", code=2)
    assert "No such file" in told(tmp_path, "user", "add", "eve", "--password-file", str(tmp_path / "none"), code=2)
    assert "No such option" in told(tmp_path, "user", "add", "eve", "--password", PASSWORD, code=2), "all could read it"


def test_off_loopback_it_does_not_start_without_users(tmp_path: Path) -> None:
    for given in ({"listen": "0.0.0.0:0"}, {"login": "always"}, {"proxies": ("127.0.0.1",)}):
        settings = settings_for(tmp_path, **given)
        host = settings.console.listen.partition(":")[0]
        with pytest.raises(SettingsError, match="no users yet: `streamgauge console user add"):
            access_rules(settings, host)
    assert access_rules(settings_for(tmp_path), "127.0.0.1").lifetime is None
    told(tmp_path, "user", "add", "ada", "--password-file", "-", stdin=f"{PASSWORD}\n")
    rules = access_rules(
        settings_for(tmp_path, proxies=("10.0.0.0/8",), session_idle=settings.console.session_idle), "::"
    )
    assert rules.lifetime is not None
    assert (rules.lifetime.idle_ms, rules.lifetime.longest_ms, rules.proxies) == (
        1_800_000,
        43_200_000,
        ("10.0.0.0/8",),
    )


def test_passwords_in_the_clear_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told(tmp_path, "user", "add", "ada", "--password-file", "-", stdin=f"{PASSWORD}\n")
    for given, warned in (
        ({}, True),
        ({"cert_file": "c", "key_file": "k"}, False),
        ({"proxies": ("10.0.0.7",)}, False),
    ):
        caplog.clear()
        access_rules(settings_for(tmp_path, **given), "0.0.0.0")
        assert ("in the clear" in caplog.text) == warned, given


def test_settings_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"console\.proxies: 'proxy' does not appear"):
        access_rules(settings_for(tmp_path, proxies=("proxy",)), "127.0.0.1")
    file = tmp_path / "streamgauge.toml"
    file.write_text('[console]\nsession_idle = "5s"\n')
    with pytest.raises(SettingsError, match="session_idle = 5s: a minute at least"):
        load(file, {})
    assert users_file(settings_for(tmp_path)) == tmp_path / "console.sqlite"
    assert users_file(settings_for(tmp_path, users="elsewhere")) == Path("elsewhere")


def test_https_login_acknowledging_and_the_audit_of_it(
    tmp_path: Path, clickhouse: EmbeddedClickHouse, database: str
) -> None:
    authority = Authority(tmp_path / "ca")
    cert, key = authority.issue("console")
    for name, role in (("vera", "viewer"), ("otto", "operator")):
        told(tmp_path, "user", "add", name, "--role", role, "--password-file", "-", stdin=f"{PASSWORD}\n")
    with connect(Address(port=clickhouse.port, database=database)) as client:
        migrate.init(client)
    settings = msgspec.structs.replace(
        settings_for(tmp_path, login="always", cert_file=str(cert), key_file=str(key)),
        clickhouse=ClickHouse(database=database),
    )
    trusted = ssl.create_default_context(cafile=str(authority.ca))
    with serving(settings, clickhouse, verify=trusted) as browser:
        assert browser.get("/api/options/places").status_code == 401
        for name, status in (("vera", 403), ("otto", 422)):
            entered = browser.post("/login", data={"name": name, "password": PASSWORD, "next": "/"})
            assert entered.headers["set-cookie"].startswith("__Host-streamgauge=")
            assert "style.css" in browser.get("/").text
            assert browser.get("/api/options/places").status_code == 200
            csrf = {"x-csrf-token": browser.get("/api/me").json()["csrf"]}
            sent = browser.post("/api/alerts/silence", json={"labels": {"location": "hall"}}, headers=csrf)
            assert sent.status_code == status, sent.text
        until = {"labels": {"location": "hall"}, "until": wall_clock_ms() + 3_600_000, "comment": "belts"}
        done = browser.post("/api/alerts/silence", json=until, headers=csrf)
        assert done.status_code == 200, done.text
        assert browser.post("/logout", headers=csrf).status_code == 204
    audit = told(tmp_path, "audit", "--actor", "otto", "--format", "csv").splitlines()
    assert [line.split(",")[1:4] for line in audit[1:]] == [
        ["otto", "127.0.0.1", "login"], ["otto", "127.0.0.1", "silence"], ["otto", "127.0.0.1", "logout"],
    ]  # fmt: skip
    assert "belts" in audit[2]
