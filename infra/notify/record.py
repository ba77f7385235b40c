"""What is to be told, and what was: a SQLite file of the notifier's own, so that a restart tells nothing twice.

A change of an alert becomes one line per channel, once, however often the topic brings it. A line is due at a time, is
tried until it is told, refused for good, or not needed any more, and says then how it ended.
"""

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from infra.notify.message import Change, inhibits

_TABLES = """
CREATE TABLE IF NOT EXISTS alerts (
    alert_id TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    inhibits INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS open_inhibitors ON alerts (alert_id) WHERE inhibits = 1 AND state = 'open';
CREATE TABLE IF NOT EXISTS lines (
    number INTEGER PRIMARY KEY,
    channel TEXT NOT NULL,
    alert_id TEXT NOT NULL,
    state TEXT NOT NULL,
    due_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    ended TEXT NOT NULL DEFAULT '',
    ended_ms INTEGER,
    problem TEXT NOT NULL DEFAULT '',
    body BLOB NOT NULL,
    repeats INTEGER NOT NULL DEFAULT 0,
    UNIQUE (channel, alert_id, state)
);
CREATE INDEX IF NOT EXISTS waiting ON lines (channel, due_ms) WHERE ended = '';
"""

_decode = msgspec.json.Decoder(Change).decode


@dataclass(frozen=True, slots=True)
class Line:
    """One change to be told in one channel.

    attempts: made so far. opened: of an end, what became of its beginning, "none" when there was none. over: whether
    the alert is resolved by now. repeats: how often it was told before.
    """

    number: int
    attempts: int
    change: Change
    opened: str
    over: bool
    repeats: int = 0


class Record:
    """Safe to use from several threads."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_TABLES)
        if "repeats" not in {column for _, column, *_ in self._database.execute("PRAGMA table_info(lines)")}:
            self._database.execute("ALTER TABLE lines ADD COLUMN repeats INTEGER NOT NULL DEFAULT 0")

    def take(self, changes: Sequence[tuple[Change, Mapping[str, int]]]) -> int:
        """Changes, and the channels that are to tell each, with the time at which it is due; how many are new.

        They are kept for good when this returns.
        """
        with self._written() as database:
            before = database.total_changes
            for change, due_ms in changes:
                body = msgspec.json.encode(change)
                database.execute(
                    "INSERT INTO alerts VALUES (?, ?, ?, ?, ?) ON CONFLICT (alert_id) DO UPDATE SET "
                    "state = excluded.state, updated_at = excluded.updated_at, body = excluded.body "
                    "WHERE (excluded.updated_at, excluded.state) > (alerts.updated_at, alerts.state)",
                    (change.alert_id, change.state, change.updated_at, bool(change.inhibits), body),
                )
                database.executemany(
                    "INSERT OR IGNORE INTO lines (channel, alert_id, state, due_ms, body) VALUES (?, ?, ?, ?, ?)",
                    [(channel, change.alert_id, change.state, at_ms, body) for channel, at_ms in due_ms.items()],
                )
            return database.total_changes - before

    def due(self, channel: str, now_ms: int, *, most: int) -> list[Line]:
        """What a channel is to tell by now, as it came, what failed before last; an end only after its beginning."""
        sql = (
            "SELECT lines.number, lines.attempts, lines.body, coalesce(first.ended, 'none'), "
            "alerts.state = 'resolved', lines.repeats FROM lines JOIN alerts USING (alert_id) "
            "LEFT JOIN lines AS first ON first.channel = lines.channel "
            "AND first.alert_id = lines.alert_id AND first.state = 'open' AND lines.state = 'resolved' "
            "WHERE lines.channel = ? AND lines.ended = '' AND lines.due_ms <= ? "
            "AND coalesce(first.ended, 'none') != '' ORDER BY lines.attempts, lines.number LIMIT ?"
        )
        with self._lock:
            rows = self._database.execute(sql, (channel, now_ms, most)).fetchall()
        return [
            Line(number, attempts, _decode(body), opened, bool(over), repeats)
            for number, attempts, body, opened, over, repeats in rows
        ]

    def inhibitor(self, change: Change) -> Change | None:
        """An open alert that spares telling of this one."""
        with self._lock:
            rows = self._database.execute("SELECT body FROM alerts WHERE inhibits = 1 AND state = 'open'").fetchall()
        return next((other for (body,) in rows if inhibits(other := _decode(body), change)), None)

    def end(self, lines: Sequence[Line], how: str, now_ms: int, problem: str = "") -> None:
        """These are done with. how: told, refused, inhibited, silenced, or whatever spared it."""
        with self._written() as database:
            database.executemany(
                "UPDATE lines SET ended = ?, ended_ms = ?, problem = ? WHERE number = ?",
                [(how, now_ms, problem, line.number) for line in lines],
            )

    def postpone(self, lines: Sequence[Line], due_ms: int, problem: str) -> None:
        """These could not be told: again at that time."""
        with self._written() as database:
            database.executemany(
                "UPDATE lines SET attempts = attempts + 1, due_ms = ?, problem = ? WHERE number = ?",
                [(due_ms, problem, line.number) for line in lines],
            )

    def repeat(self, channel: str, told_until_ms: int, now_ms: int) -> None:
        """What was told by then, and is still open, is due once more."""
        with self._written() as database:
            database.execute(
                "UPDATE lines SET ended = '', due_ms = ?, attempts = 0, repeats = repeats + 1 WHERE channel = ? "
                "AND state = 'open' AND ended = 'told' AND ended_ms <= ? "
                "AND alert_id IN (SELECT alert_id FROM alerts WHERE state = 'open')",
                (now_ms, channel, told_until_ms),
            )

    def counts(self) -> dict[tuple[str, str], int]:
        """Lines by channel and how they ended, "" for those that wait."""
        with self._lock:
            rows = self._database.execute("SELECT channel, ended, count(*) FROM lines GROUP BY channel, ended")
            return {(channel, ended): count for channel, ended, count in rows}

    def forget(self, before_ms: int) -> None:
        """Lines that ended before that time, and alerts that nothing speaks of any more."""
        with self._written() as database:
            database.execute("DELETE FROM lines WHERE ended != '' AND ended_ms < ?", (before_ms,))
            database.execute(
                "DELETE FROM alerts WHERE state = 'resolved' AND alert_id NOT IN (SELECT alert_id FROM lines)"
            )

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._database.close()

    @contextmanager
    def _written(self) -> Iterator[sqlite3.Connection]:
        """One transaction, on disk when it ends."""
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
