"""What waits for a Kafka elsewhere, on disk: a SQLite file that a pulled plug does not harm.

    device's log --append--> chunks, packed --first--> upstream --done--> forgotten

With each chunk is noted, in the same transaction, up to where the log was read: nothing is missed, and what was on its
way when all ended is sent once more.
"""

import sqlite3
import threading
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from infra.kafka.tail import Places, Told
from infra.observe import metrics

_TABLES = """
CREATE TABLE IF NOT EXISTS chunks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    messages INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS places (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
);
"""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Told]).decode


@dataclass(frozen=True, slots=True)
class Chunk:
    """Messages as they were read together. number: grows."""

    number: int
    messages: list[Told]


class Spool:
    """Safe to use from several threads. max_bytes: of what waits, packed; the oldest goes first."""

    def __init__(self, file: Path, *, max_bytes: int) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_TABLES)
        sql = "SELECT coalesce(sum(messages), 0), coalesce(sum(length(body)), 0) FROM chunks"
        self.messages = self.bytes = 0
        self._waits(*self._database.execute(sql).fetchone())

    def places(self) -> Places:
        """Up to where the log was read."""
        with self._lock:
            rows = self._database.execute("SELECT topic, partition, next FROM places").fetchall()
        return {(topic, partition): at for topic, partition, at in rows}

    def append(self, messages: Sequence[Told], places: Mapping[tuple[str, int], int]) -> int:
        """They are on disk when this returns. How many older ones had to go."""
        body = zlib.compress(_encode(messages), 1)
        with self._lock, self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute("INSERT INTO chunks (messages, body) VALUES (?, ?)", (len(messages), body))
            self._database.executemany(
                "INSERT INTO places VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET next = excluded.next",
                [(topic, partition, at) for (topic, partition), at in places.items()],
            )
            self._waits(len(messages), len(body))
            return self._make_room()

    def _make_room(self) -> int:
        dropped = 0
        while self.bytes > self._max_bytes:
            row = self._database.execute("SELECT number FROM chunks ORDER BY number LIMIT 1").fetchone()
            if row is None:
                break
            dropped += self._forget(row[0])
        return dropped

    def after(self, number: int) -> Chunk | None:
        """The first chunk with a larger number."""
        sql = "SELECT number, body FROM chunks WHERE number > ? ORDER BY number LIMIT 1"
        with self._lock:
            row = self._database.execute(sql, (number,)).fetchone()
        return None if row is None else Chunk(row[0], _decode(zlib.decompress(row[1])))

    def done(self, number: int) -> None:
        """The chunk has arrived."""
        with self._lock, self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._forget(number)

    def _forget(self, number: int) -> int:
        sql = "DELETE FROM chunks WHERE number = ? RETURNING messages, length(body)"
        rows = self._database.execute(sql, (number,)).fetchall()
        for messages, size in rows:
            self._waits(-messages, -size)
        return sum(messages for messages, _ in rows)

    def _waits(self, messages: int, size: int) -> None:
        """So many more."""
        self.messages, self.bytes = self.messages + messages, self.bytes + size
        metrics.FORWARD_WAITING.set(self.messages)
        metrics.FORWARD_WAITING_BYTES.set(self.bytes)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._database.close()
