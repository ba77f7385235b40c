"""/login, /logout, /api/me, /api/audit, /health/live."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from html import escape
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from infra.console.access.caller import Caller, may
from infra.console.access.cookies import give, session_id, take_away
from infra.console.access.gate import AUDIT, HEALTH, LOGIN, LOGOUT, ME
from infra.console.access.login import Login, Refused
from infra.console.access.sessions import Sessions
from infra.console.access.store import Store, as_csv

_PAGE = (Path(__file__).parent / "login.html").read_text(encoding="utf-8")
_MOST_WAITING = 20
_AUDIT_LINES = 100_000
_WRONG = "Name or password are not right."


class Doors:
    """login, sessions: None where no login is asked for."""

    def __init__(self, store: Store, login: Login | None, sessions: Sessions | None) -> None:
        self._store = store
        self._login = login
        self._sessions = sessions
        # Passwords are checked one after the other: a hundred at a time would take all memory and processors.
        self._checking = ThreadPoolExecutor(1, thread_name_prefix="login")
        self._waiting = 0

    def app(self) -> Any:
        """ASGI."""
        return Starlette(
            routes=[
                Route(LOGIN, self._show),
                Route(LOGIN, self._enter, methods=["POST"]),
                Route(LOGOUT, self._leave, methods=["POST"]),
                Route(ME, self._me),
                Route(AUDIT, self._audit),
                Route(HEALTH, self._alive),
            ]
        )

    async def _show(self, request: Request) -> Response:
        if self._login is None:
            return RedirectResponse("/", HTTPStatus.SEE_OTHER)
        return _page(going_to=request.query_params.get("next", ""))

    async def _enter(self, request: Request) -> Response:
        if self._login is None or self._sessions is None:
            return RedirectResponse("/", HTTPStatus.SEE_OTHER)
        given = parse_qs((await request.body()).decode("utf-8", "replace"))
        name, password, going_to = (given.get(key, [""])[0] for key in ("name", "password", "next"))
        address = request.client.host if request.client else ""
        if self._waiting >= _MOST_WAITING:
            return _wait(name, going_to, 5)
        self._waiting += 1
        try:
            enter = partial(self._login.enter, name, password, address)
            identity = await asyncio.get_running_loop().run_in_executor(self._checking, enter)
        except Refused as refused:
            if refused.wait_s is not None:
                return _wait(name, going_to, refused.wait_s)
            return _page(HTTPStatus.UNAUTHORIZED, problem=_WRONG, name=name, going_to=going_to)
        finally:
            self._waiting -= 1
        if before := session_id(request):
            self._sessions.end(before)
        response = RedirectResponse(_inside(going_to), HTTPStatus.SEE_OTHER)
        give(response, request, identity)
        return response

    async def _leave(self, request: Request) -> Response:
        response = Response(status_code=HTTPStatus.NO_CONTENT)
        if self._sessions is not None:
            self._sessions.end(session_id(request))
            request.state.caller.record("logout", "")
            take_away(response, request)
        return response

    async def _me(self, request: Request) -> Response:
        caller: Caller = request.state.caller
        told = {"name": caller.name, "role": caller.role, "may_act": caller.may_act, "csrf": caller.csrf}
        return JSONResponse({**told, "login": self._login is not None})

    async def _alive(self, _: Request) -> Response:
        """Whether the process answers; probes have no login."""
        return JSONResponse({"status": "ok"})

    async def _audit(self, request: Request) -> Response:
        """The newest lines, as CSV, for admins."""
        caller: Caller = request.state.caller
        if not may(caller.role, "admin"):
            return JSONResponse(
                {"error": f"{caller.name} is a {caller.role}; this takes an admin"}, HTTPStatus.FORBIDDEN
            )
        headers = {"content-disposition": 'attachment; filename="streamgauge-audit.csv"'}
        return Response(as_csv(self._store.audit(0, most=_AUDIT_LINES)), media_type="text/csv", headers=headers)

    def close(self) -> None:
        """No password is checked any more."""
        self._checking.shutdown(cancel_futures=True)


def _page(
    status: HTTPStatus = HTTPStatus.OK, *, problem: str = "", name: str = "", going_to: str = "", wait_s: int = 0
) -> Response:
    told = f'<p class="problem" role="alert" id="problem">{escape(problem)}</p>' if problem else ""
    page = (
        _PAGE.replace("{problem}", told)
        .replace("{name}", escape(name[:64]))
        .replace("{next}", escape(_inside(going_to)))
        .replace("{described}", ' aria-describedby="problem" aria-invalid="true"' if problem else "")
    )
    return HTMLResponse(page, status, {"retry-after": str(wait_s)} if wait_s else None)


def _wait(name: str, going_to: str, wait_s: int) -> Response:
    minutes = -(-wait_s // 60)
    when = f"{wait_s} seconds" if wait_s < 60 else f"{minutes} minute{'s' if minutes > 1 else ''}"
    problem = f"Too many attempts. Try again in {when}."
    return _page(HTTPStatus.TOO_MANY_REQUESTS, problem=problem, name=name, going_to=going_to, wait_s=wait_s)


def _inside(going_to: str) -> str:
    """A path of the console's, never another site."""
    safe = going_to.startswith("/") and not going_to.startswith(("//", "/\\")) and going_to.isprintable()
    return going_to if safe and not going_to.startswith(LOGIN) else "/"
