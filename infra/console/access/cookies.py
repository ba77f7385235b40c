"""The session's cookie."""

from starlette.requests import Request
from starlette.responses import Response


def session_id(request: Request) -> str:
    """What the browser brought; "" when nothing."""
    return request.cookies.get(_name(request), "")


def give(response: Response, request: Request, identity: str) -> None:
    """Until the browser is closed, or the session is over here."""
    response.set_cookie(_name(request), identity, path="/", secure=_encrypted(request), httponly=True, samesite="lax")


def take_away(response: Response, request: Request) -> None:
    """The browser forgets it."""
    response.delete_cookie(_name(request), path="/", secure=_encrypted(request), httponly=True, samesite="lax")


def _encrypted(request: Request) -> bool:
    return request.url.scheme == "https"


def _name(request: Request) -> str:
    """With the prefix no other host, and nobody between, can set it (RFC 6265bis)."""
    return "__Host-streamgauge" if _encrypted(request) else "streamgauge"
