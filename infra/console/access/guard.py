"""Everything of access around the console, put together."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from infra.console.access.caller import Clock
from infra.console.access.doors import Doors
from infra.console.access.gate import Gate
from infra.console.access.login import Login
from infra.console.access.passwords import Passwords
from infra.console.access.sessions import Lifetime, Sessions
from infra.console.access.store import Store


@dataclass(frozen=True, slots=True)
class Rules:
    """lifetime: of sessions; None where no login is asked for. proxies: addresses or networks before the console.

    What a proxy says of whom it asks for is believed of these alone.
    """

    lifetime: Lifetime | None = None
    proxies: Sequence[str] = ()


@contextmanager
def guarded(
    console: Any, file: Path, rules: Rules, *, clock_ms: Clock, passwords: Passwords | None = None
) -> Iterator[Any]:
    """ASGI around ASGI. file: of users and audit. Raises AccessError."""
    with closing(Store(file)) as store:
        sessions = None if rules.lifetime is None else Sessions(store, rules.lifetime)
        login = None if sessions is None else Login(store, sessions, clock_ms=clock_ms, passwords=passwords)
        with closing(Doors(store, login, sessions)) as doors:
            gate: Any = Gate(console, doors.app(), store, sessions, clock_ms=clock_ms)
            yield ProxyHeadersMiddleware(gate, list(rules.proxies)) if rules.proxies else gate
