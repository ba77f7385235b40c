"""The gate before the console: who is let in, and where to those go who are not."""

from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from infra.console.access.caller import Caller, Clock
from infra.console.access.cookies import session_id
from infra.console.access.headers import Receive, Scope, Send, is_local_name, same_origin, with_security
from infra.console.access.sessions import Session, Sessions, csrf_token
from infra.console.access.store import Role, Store

LOGIN, LOGOUT, ME, AUDIT, HEALTH = "/login", "/logout", "/api/me", "/api/audit", "/health/live"
_OPEN = ("/static/", HEALTH)
_READING = ("GET", "HEAD")
_MOST_BYTES = 64_000
_LOOKED_EVERY_MS = 2_000


class Refusal(Exception):
    """A request is not let in."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class SessionOver(Exception):
    """While an endless answer was being sent."""


class Gate:
    """ASGI, around the console.

    doors: serves LOGIN, LOGOUT, ME, AUDIT, HEALTH. sessions: None where no login is asked for: then everybody on this
    machine is "local" and may do everything.
    """

    def __init__(self, console: Any, doors: Any, store: Store, sessions: Sessions | None, *, clock_ms: Clock) -> None:
        self._console = console
        self._doors = doors
        self._store = store
        self._sessions = sessions
        self._clock_ms = clock_ms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._console(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, with_security(send, kept=scope["path"].startswith("/static/")))
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            caller = self._admit(request)
        except Refusal as refusal:
            await _answer(request, refusal)(scope, receive, send)
            return
        if caller is not None:
            scope.setdefault("state", {})["caller"] = caller
        if scope["path"] in (LOGIN, LOGOUT, ME, AUDIT, HEALTH):
            await self._doors(scope, receive, send)
            return
        if caller is not None and self._sessions is not None:
            send = self._watched(request, send)
        try:
            await self._console(scope, receive, send)
        except SessionOver:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _admit(self, request: Request) -> Caller | None:
        """Who it is; None where everybody may go. Raises Refusal."""
        path, acting = request.url.path, request.method not in _READING
        if acting:
            _check_origin(request)
            _check_size(request)
        if self._sessions is None:
            return self._local(request)
        if path == LOGIN or (not acting and path.startswith(_OPEN)):
            return None
        session = self._session(request)
        if session is None:
            raise Refusal(HTTPStatus.UNAUTHORIZED, "not logged in, or not any more: log in at /login")
        caller = self._caller(request, session.user, session.role, csrf_token(session_id(request)))
        if acting and request.headers.get("x-csrf-token", "") != caller.csrf:
            raise Refusal(HTTPStatus.FORBIDDEN, "X-CSRF-Token is not this session's: load the page again")
        if acting and path != LOGOUT and not caller.may_act:
            raise Refusal(
                HTTPStatus.FORBIDDEN, f"{caller.name} is a {caller.role} and may look; this takes an operator"
            )
        return caller

    def _local(self, request: Request) -> Caller:
        if not is_local_name(request.headers.get("host", "")):
            text = "without login only requests to this machine's own name are served, such as http://127.0.0.1"
            raise Refusal(HTTPStatus.FORBIDDEN, text)
        if "x-forwarded-for" in request.headers or "forwarded" in request.headers:
            text = "this request came through a proxy: name it in console.proxies, so that the console demands login"
            raise Refusal(HTTPStatus.FORBIDDEN, text)
        return self._caller(request, "local", "admin", "")

    def _session(self, request: Request) -> Session | None:
        identity = session_id(request)
        return self._sessions.find(identity, self._clock_ms()) if identity and self._sessions else None

    def _caller(self, request: Request, name: str, role: Role, csrf: str) -> Caller:
        address = request.client.host if request.client else ""
        return Caller(name, role, address, csrf, self._clock_ms, self._store.record)

    def _watched(self, request: Request, send: Send) -> Send:
        """A stream that outlives its session is cut."""
        looked_ms = self._clock_ms()

        async def sending(message: Any) -> None:
            nonlocal looked_ms
            now_ms = self._clock_ms()
            if message.get("more_body") and now_ms - looked_ms >= _LOOKED_EVERY_MS:
                looked_ms = now_ms
                if self._session(request) is None:
                    raise SessionOver
            await send(message)

        return sending


def _check_origin(request: Request) -> None:
    if not same_origin(request.headers):
        raise Refusal(HTTPStatus.FORBIDDEN, "this request comes from a page of another site, and is not served")


def _check_size(request: Request) -> None:
    length = request.headers.get("content-length", "0" if "transfer-encoding" not in request.headers else "")
    if not length.isdigit() or int(length) > _MOST_BYTES:
        raise Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"a request to the console says its length, {_MOST_BYTES} bytes at most",
        )


def _answer(request: Request, refusal: Refusal) -> Response:
    if refusal.status == HTTPStatus.UNAUTHORIZED and "text/html" in request.headers.get("accept", ""):
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"{LOGIN}?next={quote(asked, safe='')}", HTTPStatus.SEE_OTHER)
    return JSONResponse({"error": str(refusal)}, refusal.status)
