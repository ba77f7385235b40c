"""What the service answers: JSON, and errors that say what was wrong and what to do."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from math import ceil
from typing import Any

import msgspec

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

_JSON = (b"content-type", b"application/json")
_PRIVATE = (b"cache-control", b"no-store")


class Problem(Exception):
    """A request is not served. status: HTTP's. wait_s: when it may be tried again, for Retry-After.

    close: the connection is of no further use, for instance because a body was not read to its end.
    """

    def __init__(self, status: HTTPStatus, text: str, *, wait_s: float | None = None, close: bool = False) -> None:
        super().__init__(text)
        self.status = status
        self.wait_s = wait_s
        self.close = close

    @property
    def headers(self) -> dict[str, str]:
        """Beside those every answer has."""
        headers = {}
        if self.wait_s is not None:
            headers["retry-after"] = str(max(1, ceil(self.wait_s)))
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["www-authenticate"] = 'Bearer realm="streamgauge"'
        if self.status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["allow"] = "POST"
        if self.close:
            headers["connection"] = "close"
        return headers

    @property
    def body(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode({"error": str(self)})


async def answer(send: Send, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
    """Send a whole answer of JSON."""
    told = [_JSON, _PRIVATE, (b"content-length", b"%d" % len(body))]
    if headers:
        told += [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": body})
