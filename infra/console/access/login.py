"""Logging in: few attempts, equally slow for everybody, and all of them in the audit."""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from infra.console.access.passwords import Passwords
from infra.console.access.sessions import Sessions
from infra.console.access.store import NAME, Entry, Store, told

_FAILED = "login failed"
_WITHIN_MS = 5 * 60_000
_OF_A_USER_FROM_AN_ADDRESS, _FROM_AN_ADDRESS, _OF_A_USER = 5, 20, 50
"""Failures within five minutes; few of a user from one place, so that nobody elsewhere can lock them out."""


@dataclass(frozen=True, slots=True)
class Refused(Exception):
    """wait_s: when it may be tried again; None: name or password are wrong."""

    wait_s: int | None = None


class Login:
    """Slow on purpose (about 50 ms of processor): call `enter` from one thread of its own."""

    def __init__(
        self, store: Store, sessions: Sessions, *, clock_ms: Callable[[], int], passwords: Passwords | None = None
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._clock_ms = clock_ms
        self._passwords = passwords or Passwords()
        self._passwords.matches("", None)  # prepared now, else the first unknown name would take longer

    def enter(self, name: str, password: str, address: str) -> str:
        """A new session's id. Raises Refused.

        The audit itself says how often it failed, so a restart forgives nothing; refused unseen is not written, so it
        does not grow without end.
        """
        name, where, now_ms = _known_form(name), network(address), self._clock_ms()
        if wait_s := self._wait_s(name, where, now_ms):
            raise Refused(wait_s)
        user = self._store.user(name)
        if not self._passwords.matches(password, None if user is None else user.password) or user is None:
            self._store.record(Entry(now_ms, name, address, _FAILED, where, ""))
            raise Refused
        rehashed = self._passwords.again(password) if self._passwords.outdated(user.password) else None
        self._store.logged_in(name, now_ms=now_ms, rehashed=rehashed)
        self._store.record(Entry(now_ms, name, address, "login", "", told({"role": user.role})))
        return self._sessions.begin(name, address, now_ms)

    def _wait_s(self, name: str, where: str, now_ms: int) -> int:
        """Seconds until so few failures are left that one more may be made; 0: now."""
        rows = self._store.rows(
            "SELECT at_ms, actor, target FROM audit WHERE at_ms > ? AND action = ? AND (actor = ? OR target = ?) "
            "ORDER BY at_ms DESC",
            *(now_ms - _WITHIN_MS, _FAILED, name, where),
        )
        wait_ms = 0
        for most, times in (
            (_OF_A_USER_FROM_AN_ADDRESS, [at for at, actor, place in rows if actor == name and place == where]),
            (_FROM_AN_ADDRESS, [at for at, _, place in rows if place == where]),
            (_OF_A_USER, [at for at, actor, _ in rows if actor == name]),
        ):
            if len(times) >= most:
                wait_ms = max(wait_ms, times[most - 1] + _WITHIN_MS - now_ms)
        return -(-wait_ms // 1000)


def _known_form(name: str) -> str:
    """What can be no name is not written down: it may be a password in the wrong field."""
    name = name.strip().casefold()
    return name if NAME.fullmatch(name) else "?"


def network(address: str) -> str:
    """Whom an address belongs to: one host has a whole /64 of IPv6."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(parsed.ipv4_mapped or ip_network((parsed, 64), strict=False))
    return address
