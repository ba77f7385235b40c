"""Users and what was done, in one SQLite file that only its owner reads; several processes may have it open."""

import csv
import io
import json
import os
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

Role = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")
"""Each may do what the ones before it may."""

NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")

_TABLES = """
CREATE TABLE IF NOT EXISTS users (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    password TEXT NOT NULL,
    added_ms INTEGER NOT NULL,
    seen_ms INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS sessions (
    digest BLOB PRIMARY KEY,
    user TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    begun_ms INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL,
    address TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS sessions_of ON sessions (user);
CREATE TABLE IF NOT EXISTS audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS audit_at ON audit (at_ms);
CREATE TRIGGER IF NOT EXISTS audit_stays BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;
CREATE TRIGGER IF NOT EXISTS audit_is_kept BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;
"""


class AccessError(Exception):
    """What a person did wrong with users, in words."""


@dataclass(frozen=True, slots=True)
class User:
    """password: its hash. seen_ms: when they last logged in."""

    name: str
    role: Role
    password: str
    added_ms: int
    seen_ms: int | None


class Entry(NamedTuple):
    """One line of the audit. address: where from, "" for the command line. detail: JSON."""

    at_ms: int
    actor: str
    address: str
    action: str
    target: str
    detail: str

    @property
    def time(self) -> str:
        """RFC 3339."""
        at = datetime.fromtimestamp(self.at_ms / 1000, UTC)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


COLUMNS = ("time", *Entry._fields[1:])
"""Of an entry as people read it."""


class Store:
    """Safe to use from several threads. Raises AccessError when the file cannot be used."""

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            # SQLite gives its own files beside it the same mode.
            os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
            file.chmod(0o600)
            self._lock = threading.RLock()
            self._database = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=10)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA foreign_keys = ON")
            self._database.executescript(_TABLES)
        except (OSError, sqlite3.Error) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise AccessError(f"the console's users, {file}: {why}") from None

    def users(self) -> list[User]:
        """All, by name."""
        return [User(*row) for row in self.rows("SELECT name, role, password, added_ms, seen_ms FROM users ORDER BY 1")]

    def user(self, name: str) -> User | None:
        """The one with this name."""
        rows = self.rows("SELECT name, role, password, added_ms, seen_ms FROM users WHERE name = ?", name)
        return User(*rows[0]) if rows else None

    def add(self, name: str, role: Role, password: str, *, now_ms: int) -> None:
        """A new user. password: hashed. Raises AccessError."""
        if not NAME.fullmatch(name):
            raise AccessError(
                f"{name!r} is no name of a user: small letters, digits and . _ @ -, 64 at most, such as 'ada' or "
                "'ada@example.org'"
            )
        if self.user(name) is not None:
            raise AccessError(
                f"there is a user {name!r} already: `streamgauge console user password {name}` gives another password"
            )
        with self.writing() as database:
            database.execute("INSERT INTO users VALUES (?, ?, ?, ?, NULL)", (name, role, password, now_ms))

    def remove(self, name: str) -> None:
        """They are logged out everywhere. Raises AccessError."""
        with self._known(name) as database:
            database.execute("DELETE FROM users WHERE name = ?", (name,))

    def set_password(self, name: str, password: str) -> None:
        """password: hashed. They are logged out everywhere. Raises AccessError."""
        with self._known(name) as database:
            database.execute("UPDATE users SET password = ? WHERE name = ?", (password, name))
            database.execute("DELETE FROM sessions WHERE user = ?", (name,))

    def set_role(self, name: str, role: Role) -> None:
        """They are logged out everywhere. Raises AccessError."""
        with self._known(name) as database:
            database.execute("UPDATE users SET role = ? WHERE name = ?", (role, name))
            database.execute("DELETE FROM sessions WHERE user = ?", (name,))

    def logged_in(self, name: str, *, now_ms: int, rehashed: str | None) -> None:
        """rehashed: the same password with the parameters of now."""
        with self.writing() as database:
            database.execute("UPDATE users SET seen_ms = ? WHERE name = ?", (now_ms, name))
            if rehashed is not None:
                database.execute("UPDATE users SET password = ? WHERE name = ?", (rehashed, name))

    def record(self, entry: Entry) -> None:
        """Add a line to the audit."""
        with self.writing() as database:
            database.execute(
                "INSERT INTO audit (at_ms, actor, address, action, target, detail) VALUES (?, ?, ?, ?, ?, ?)", entry
            )

    def audit(self, since_ms: int, *, actor: str = "", most: int = 1_000) -> list[Entry]:
        """The newest lines since then, in order. actor: of this one only."""
        rows = self.rows(
            "SELECT at_ms, actor, address, action, target, detail FROM audit WHERE at_ms >= ? "
            "AND (? = '' OR actor = ?) ORDER BY number DESC LIMIT ?",
            *(since_ms, actor, actor, most),
        )
        return [Entry(*row) for row in reversed(rows)]

    def rows(self, sql: str, *parameters: Any) -> Sequence[tuple[Any, ...]]:
        """What a statement that reads gives."""
        with self._lock:
            return self._database.execute(sql, parameters).fetchall()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction."""
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._database.close()

    @contextmanager
    def _known(self, name: str) -> Iterator[sqlite3.Connection]:
        with self.writing() as database:
            if self.user(name) is None:
                raise AccessError(f"there is no user {name!r}: `streamgauge console user list` says who there is")
            yield database


def as_csv(entries: Iterable[Entry]) -> str:
    """With a header."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([one.time, *map(_harmless, one[1:])] for one in entries)
    return out.getvalue()


def _harmless(text: str) -> str:
    """A spreadsheet runs what begins like a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def told(detail: dict[str, Any]) -> str:
    """A detail of the audit."""
    return json.dumps(detail, ensure_ascii=False, sort_keys=True) if detail else ""
