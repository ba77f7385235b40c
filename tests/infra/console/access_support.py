"""A guarded console in miniature, with a clock that the test moves, as browsers elsewhere see it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from infra.console.access.guard import Rules, guarded
from infra.console.access.passwords import Passwords
from infra.console.access.sessions import Lifetime
from infra.console.access.store import Entry, Store
from infra.console.access.users import Users

PASSWORD = "correct horse battery"
IDLE_MS, LONGEST_MS = 30 * 60_000, 12 * 3_600_000
QUICK = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
"""Hashes that take no time, for whatever is not about hashes."""


@dataclass
class Site:
    """One console. file: of its users. now_ms: the clock."""

    file: Path
    app: Any = None
    now_ms: int = 1_000_000_000
    streamed: list[int] = field(default_factory=list)

    def browser(self, address: str = "203.0.113.9", *, url: str = "http://plant.example", **more: Any) -> TestClient:
        """Cookies of its own; it does not follow redirects."""
        return TestClient(self.app, base_url=url, client=(address, 50_000), follow_redirects=False, **more)

    def logged_in(self, name: str, **more: Any) -> TestClient:
        """A browser with a session."""
        browser = self.browser(**more)
        assert log_in(browser, name).status_code == 303
        return browser

    def users(self) -> Users:
        """As the command line changes them, beside the console that runs."""
        return Users(Store(self.file), by="root", now_ms=self.now_ms, passwords=QUICK)

    def audit(self) -> list[Entry]:
        """All of it."""
        with closing(Store(self.file)) as store:
            return store.audit(0)


def log_in(browser: TestClient, name: str, password: str = PASSWORD, **more: str) -> Any:
    """Send the form."""
    return browser.post("/login", data={"name": name, "password": password, **more})


def csrf(browser: TestClient) -> dict[str, str]:
    """The header that goes with what changes something."""
    return {"x-csrf-token": browser.get("/api/me").json()["csrf"]}


@contextmanager
def site(
    home: Path, *, login: bool = True, passwords: Passwords = QUICK, proxies: tuple[str, ...] = ()
) -> Iterator[Site]:
    """With the users vera (viewer), otto (operator) and anna (admin)."""
    made = Site(home / "access" / "console.sqlite")
    with_users = made.users()
    with_users.add("vera", "viewer", PASSWORD)
    with_users.add("otto", "operator", PASSWORD)
    with_users.add("anna", "admin", PASSWORD)
    rules = Rules(Lifetime(IDLE_MS, LONGEST_MS) if login else None, proxies)
    with guarded(_console(made), made.file, rules, clock_ms=lambda: made.now_ms, passwords=passwords) as app:
        made.app = app
        yield made


def _console(made: Site) -> Starlette:
    """What stands behind the gate here: a page, data, something to do, a stream without end, a style sheet."""

    async def page(_: Request) -> PlainTextResponse:
        return PlainTextResponse("a page")

    async def data(request: Request) -> JSONResponse:
        client = request.client
        return JSONResponse({"who": request.state.caller.name, "from": client.host if client else ""})

    async def ack(request: Request) -> JSONResponse:
        request.state.caller.record("ack", "alert-1", comment="seen")
        return JSONResponse({"done": True})

    async def stream(_: Request) -> StreamingResponse:
        async def events() -> AsyncIterator[str]:
            for number in range(1_000):
                made.streamed.append(number)
                made.now_ms += 60_000
                yield f"data: {number}\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    async def sheet(_: Request) -> PlainTextResponse:
        return PlainTextResponse("body {}")

    return Starlette(
        routes=[
            Route("/", page),
            Route("/api/live", data),
            Route("/api/alerts/ack", ack, methods=["POST"]),
            Route("/api/stream", stream),
            Route("/static/login.css", sheet),
        ]
    )
