"""What people do with users on the command line; each of it is in the audit."""

from infra.console.access.passwords import Passwords
from infra.console.access.store import Entry, Role, Store, told


class Users:
    """by: who does it."""

    def __init__(self, store: Store, *, by: str, now_ms: int, passwords: Passwords | None = None) -> None:
        self._store = store
        self._by = by
        self._now_ms = now_ms
        self._passwords = passwords or Passwords()

    def add(self, name: str, role: Role, password: str) -> None:
        """Raises AccessError."""
        self._store.add(name, role, self._passwords.hash(password, name=name), now_ms=self._now_ms)
        self._record("user added", name, role=role)

    def remove(self, name: str) -> None:
        """They are logged out everywhere. Raises AccessError."""
        self._store.remove(name)
        self._record("user removed", name)

    def change_password(self, name: str, password: str) -> None:
        """They are logged out everywhere. Raises AccessError."""
        self._store.set_password(name, self._passwords.hash(password, name=name))
        self._record("password changed", name)

    def change_role(self, name: str, role: Role) -> None:
        """They are logged out everywhere. Raises AccessError."""
        self._store.set_role(name, role)
        self._record("role changed", name, role=role)

    def _record(self, action: str, target: str, **detail: str) -> None:
        self._store.record(Entry(self._now_ms, self._by, "", action, target, told(detail)))
