"""Passwords, how often they may be tried, and what is written down of it."""

import sqlite3
from pathlib import Path
from typing import Any, ClassVar

import pytest
from argon2 import PasswordHasher

from infra.console.access.login import network
from infra.console.access.passwords import Passwords
from infra.console.access.store import AccessError, Entry, Store
from tests.infra.console.access_support import PASSWORD, QUICK, log_in, site


def test_wrong_names_and_wrong_passwords_are_told_the_same(tmp_path: Path) -> None:
    with site(tmp_path) as console:
        wrong, unknown = log_in(console.browser(), "vera", "wrong"), log_in(console.browser(), "eve", "wrong")
        assert wrong.status_code == unknown.status_code == 401
        assert "Name or password are not right." in wrong.text
        assert wrong.text == unknown.text.replace('value="eve"', 'value="vera"')
        assert 'role="alert"' in wrong.text
        assert 'aria-invalid="true"' in wrong.text
        assert "set-cookie" not in wrong.headers
        assert log_in(console.browser(), "<b>&", "wrong").text.count("<b>") == 0


def test_an_unknown_name_costs_the_same_work() -> None:
    class Counting(PasswordHasher):
        verified: ClassVar[list[bool]] = []

        def verify(self, hash: Any, password: Any) -> Any:
            self.verified.append(self.check_needs_rehash(hash))
            return super().verify(hash, password)

    passwords = Passwords(Counting(time_cost=1, memory_cost=64, parallelism=1))
    stored = passwords.hash(PASSWORD, name="vera")
    assert passwords.matches(PASSWORD, stored)
    assert not passwords.matches("wrong", stored)
    assert not passwords.matches(PASSWORD, None)
    assert Counting.verified == [False] * 3, "each time one verification, with the parameters of now"


def test_after_five_failures_a_user_waits_there_and_only_there(tmp_path: Path) -> None:
    with site(tmp_path) as console:
        browser = console.browser()
        for _ in range(5):
            assert log_in(browser, "vera", "wrong").status_code == 401
            console.now_ms += 1_000
        refused = log_in(browser, "vera")
        assert refused.status_code == 429, "even with the right password"
        assert refused.headers["retry-after"] == "295"
        assert "Try again in 5 minutes" in refused.text
        assert log_in(browser, "otto").status_code == 303, "another user"
        assert log_in(console.browser("198.51.100.7"), "vera").status_code == 303, "another place: nobody is locked out"
        console.now_ms += 295_000
        assert log_in(browser, "vera").status_code == 303


def test_one_address_cannot_try_all_names_nor_all_addresses_one(tmp_path: Path) -> None:
    with site(tmp_path) as console:
        tried = [log_in(console.browser("2001:db8::1"), f"user{n}", "x").status_code for n in range(21)]
        assert tried == [401] * 20 + [429]
        neighbour = console.browser("2001:db8::ffff")
        assert log_in(neighbour, "vera").status_code == 429, "the same /64 is the same host"
        tried = [log_in(console.browser(f"198.51.100.{n}"), "vera", "x").status_code for n in range(51)]
        assert tried == [401] * 50 + [429]


def test_a_restart_forgives_nothing(tmp_path: Path) -> None:
    with site(tmp_path / "one") as console:
        for _ in range(5):
            log_in(console.browser(), "vera", "wrong")
        file, now_ms = console.file, console.now_ms
    with site(tmp_path / "other") as again:
        for entry in Store(file).audit(0):
            Store(again.file).record(entry)
        again.now_ms = now_ms
        assert log_in(again.browser(), "vera").status_code == 429


def test_networks() -> None:
    assert network("203.0.113.9") == "203.0.113.9"
    assert network("2001:db8:1:2:3::4") == "2001:db8:1:2::/64"
    assert network("::ffff:203.0.113.9") == "203.0.113.9"
    assert network("testclient") == "testclient"


def test_a_hash_of_old_parameters_is_renewed_without_logging_out(tmp_path: Path) -> None:
    newer = Passwords(PasswordHasher(time_cost=2, memory_cost=64, parallelism=1))
    with site(tmp_path, passwords=newer) as console:
        before = Store(console.file).user("vera")
        browser = console.logged_in("vera")
        after = Store(console.file).user("vera")
        assert before is not None
        assert after is not None
        assert (newer.outdated(before.password), newer.outdated(after.password)) == (True, False)
        assert browser.get("/api/live").status_code == 200
        assert console.logged_in("vera").get("/api/live").status_code == 200


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("short", "12 to 256 characters, not 5"),
        ("x" * 257, "12 to 256 characters, not 257"),
        ("aaaaaaaaaaaaaaaa", "too easy"),
        ("someone12345", "too easy"),
    ],
)
def test_weak_passwords_are_refused(password: str, said: str) -> None:
    with pytest.raises(AccessError, match=said):
        QUICK.hash(password, name="someone")


def test_the_same_characters_of_another_keyboard_match() -> None:
    composed, decomposed = "caf\u00e9 au lait 99", "cafe\u0301 au lait 99"
    assert QUICK.matches(decomposed, QUICK.hash(composed, name="vera"))


def test_all_that_was_done_is_written_down_for_good(tmp_path: Path) -> None:
    with site(tmp_path) as console:
        log_in(console.browser(), "vera", "wrong")
        log_in(console.browser(), "Not a name, but my secret", "wrong")
        console.logged_in("vera")
        console.users().change_role("vera", "operator")
        told = [(entry.actor, entry.action, entry.target) for entry in console.audit()]
        assert told == [
            ("root", "user added", "vera"),
            ("root", "user added", "otto"),
            ("root", "user added", "anna"),
            ("vera", "login failed", "203.0.113.9"),
            ("?", "login failed", "203.0.113.9"),
            ("vera", "login", ""),
            ("root", "role changed", "vera"),
        ]
        store = Store(console.file)
        for sql in ("DELETE FROM audit", "UPDATE audit SET actor = 'nobody'"):
            with pytest.raises(sqlite3.IntegrityError, match="only added to"), store.writing() as database:
                database.execute(sql)
        assert len(console.audit()) == len(told)
        assert len(store.audit(0, actor="vera")) == 2
        assert store.audit(0, most=1)[0].action == "role changed", "the newest"


def test_a_file_that_cannot_be_used_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no database, though it is long enough to be taken for one" * 50)
    with pytest.raises(AccessError, match="file is not a database"):
        Store(tmp_path / "file")
    with pytest.raises(AccessError, match="Is a directory"):
        Store(tmp_path)


def test_a_file_that_others_may_read_is_closed_to_them(tmp_path: Path) -> None:
    file = tmp_path / "console.sqlite"
    file.touch(0o644)
    Store(file).record(Entry(0, "a", "", "b", "", ""))
    assert file.stat().st_mode & 0o777 == 0o600


def test_admins_see_the_audit(tmp_path: Path) -> None:
    with site(tmp_path) as console:
        console.users()
        Store(console.file).record(Entry(0, "=1+1", "", "b", "", ""))
        assert [console.logged_in(name).get("/api/audit").status_code for name in ("vera", "otto")] == [403, 403]
        told = console.logged_in("anna").get("/api/audit")
        assert told.headers["content-type"].startswith("text/csv")
        lines = told.text.splitlines()
        assert lines[0] == "time,actor,address,action,target,detail"
        assert lines[1].startswith("1970-01-12T13:46:40.000Z,root,,user added,vera,")
        assert lines[4].split(",")[1] == "'=1+1", "no formula for a spreadsheet"
        assert lines[-1].split(",")[1:4] == ["anna", "203.0.113.9", "login"]
