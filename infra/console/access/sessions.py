"""Sessions: a random id with the browser, its hash with us; they end by themselves, and everywhere at once."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import NamedTuple

from infra.console.access.store import Role, Store

_NOTED_EVERY_MS = 30_000


@dataclass(frozen=True, slots=True)
class Session:
    """Whose it is, with the role of now."""

    user: str
    role: Role


class Lifetime(NamedTuple):
    """idle_ms: without any request. longest_ms: since login, whatever happens."""

    idle_ms: int
    longest_ms: int


class Sessions:
    """An id is 256 random bits, so a plain SHA-256 of it is safe at rest."""

    def __init__(self, store: Store, lifetime: Lifetime) -> None:
        self._store = store
        self._lifetime = lifetime

    def begin(self, user: str, address: str, now_ms: int) -> str:
        """A new session's id; those that are over are forgotten."""
        identity = secrets.token_urlsafe(32)
        idle_ms, longest_ms = self._lifetime
        with self._store.writing() as database:
            database.execute(
                "DELETE FROM sessions WHERE seen_ms < ? OR begun_ms < ?", (now_ms - idle_ms, now_ms - longest_ms)
            )
            database.execute(
                "INSERT INTO sessions VALUES (?, ?, ?, ?, ?)", (_digest(identity), user, now_ms, now_ms, address)
            )
        return identity

    def find(self, identity: str, now_ms: int) -> Session | None:
        """The session with this id, when it still holds."""
        digest = _digest(identity)
        rows = self._store.rows(
            "SELECT user, role, sessions.begun_ms, sessions.seen_ms FROM sessions JOIN users ON users.name = user "
            "WHERE digest = ?",
            digest,
        )
        if not rows:
            return None
        user, role, begun_ms, seen_ms = rows[0]
        if now_ms - seen_ms > self._lifetime.idle_ms or now_ms - begun_ms > self._lifetime.longest_ms:
            return None
        if now_ms - seen_ms > min(_NOTED_EVERY_MS, self._lifetime.idle_ms // 10):
            with self._store.writing() as database:
                database.execute("UPDATE sessions SET seen_ms = ? WHERE digest = ?", (now_ms, digest))
        return Session(user, role)

    def end(self, identity: str) -> None:
        """Log out."""
        with self._store.writing() as database:
            database.execute("DELETE FROM sessions WHERE digest = ?", (_digest(identity),))


def csrf_token(identity: str) -> str:
    """What a request that changes something carries beside the cookie: no other site can know it."""
    return hmac.digest(identity.encode(), b"streamgauge console csrf", "sha256").hex()


def _digest(identity: str) -> bytes:
    return hashlib.sha256(identity.encode()).digest()
