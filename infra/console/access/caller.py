"""Who asks, and what they may."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from infra.console.access.store import ROLES, Entry, Role, told

_ACTING: Role = "operator"

Clock = Callable[[], int]
"""Epoch milliseconds."""


def may(role: Role, needed: Role) -> bool:
    """Whether a role is enough."""
    return ROLES.index(role) >= ROLES.index(needed)


@dataclass(frozen=True, slots=True)
class Caller:
    """In `request.state.caller` of every request that was let in.

    name: "local" where no login is asked for. write: adds a line to the audit.
    """

    name: str
    role: Role
    address: str
    csrf: str
    clock_ms: Clock
    write: Callable[[Entry], None]

    @property
    def may_act(self) -> bool:
        """Acknowledge, silence."""
        return may(self.role, _ACTING)

    def record(self, action: str, target: str, /, **detail: Any) -> None:
        """What was done, into the audit."""
        self.write(Entry(self.clock_ms(), self.name, self.address, action, target, told(detail)))
