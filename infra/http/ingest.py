"""POST /readings: the hot path, a bare ASGI application, for a framework's routing costs as much as all it does."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec

from infra.http.answers import Problem, Receive, Scope, Send, answer
from infra.http.body import BodyReader, ClientGone, Incoming
from infra.http.decoding import MAX_LINES, BodyDecoder, Refused, Sorted
from infra.http.keys import Keys
from infra.http.ports import Message, Outlet
from infra.observe import metrics
from operators.decode_arrow import is_arrow

PATH = "/readings"

_NDJSON = frozenset({b"application/x-ndjson", b"application/ndjson", b"application/jsonl", b"application/x-jsonlines"})
_ARROW = b"application/vnd.apache.arrow.stream"
_WHOLE = frozenset({b"application/json", _ARROW})
_UNREADABLE = frozenset({"bad_json", "not_utf8", "empty_payload", "bad_arrow"})
_MOST_ERRORS = 100
_WHOLE_BYTES = 2_000_000
"""Of a body that is decoded in one piece, while other requests wait."""
_ONE_QUEUED = b'{"accepted":1,"rejected":0,"delivered":false,"errors":[]}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """stalled_s: Kafka has taken nothing for so long: it is away. ack_s: how long `?ack=all` waits for it."""

    stalled_s: float
    ack_s: float


class Ingest:
    """Takes readings in and hands them to Kafka."""

    def __init__(
        self, keys: Keys, reader: BodyReader, decoder: BodyDecoder, outlet: Outlet, patience: Patience
    ) -> None:
        self._keys = keys
        self._reader = reader
        self._decoder = decoder
        self._outlet = outlet
        self._patience = patience
        self._seconds = metrics.HTTP_SECONDS.labels(PATH)
        self._accepted = metrics.HTTP_READINGS.labels("accepted")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        began_s = time.perf_counter()
        incoming = Incoming(receive)
        try:
            status, body = await self._serve(scope, incoming)
            headers: Mapping[str, str] = {}
        except Problem as problem:
            if problem.close and not _waits_to_send(scope):
                await self._reader.drop(incoming)
            status, body, headers = problem.status, problem.body, problem.headers
        except ClientGone:
            metrics.HTTP_REQUESTS.labels(PATH, "gone").inc()
            return
        await answer(send, status, body, headers)
        metrics.HTTP_REQUESTS.labels(PATH, str(int(status))).inc()
        self._seconds.observe(time.perf_counter() - began_s)

    async def _serve(self, scope: Scope, incoming: Incoming) -> tuple[int, bytes]:
        if scope["method"] != "POST":
            raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, "readings are sent with POST; GET /api/readings reads them")
        headers = dict(scope["headers"])
        caller = self._keys.admit(headers, "write")
        acknowledged = _acknowledged(scope["query_string"])
        kind = _kind(headers)
        self._check_kafka()
        with self._reader.room() as room:
            at_most = None if kind in _NDJSON else _WHOLE_BYTES
            body = await self._reader.read(headers, incoming, room, at_most=at_most)
            found = await self._sort(kind, body)
            caller.spend(max(1, found.accepted + found.rejected.total()))
            if acknowledged and found.accepted:
                await self._deliver(found.messages)
            elif found.accepted:
                self._offer(found.messages)
        self._count(found)
        if not found.accepted:
            return _nothing_good(found)
        return HTTPStatus.ACCEPTED, _taken(found, delivered=acknowledged)

    async def _sort(self, kind: bytes, body: bytes) -> "_Found":
        now_ms = time.time_ns() // 1_000_000
        found = _Found()
        if kind not in _NDJSON:
            if is_arrow(body) != (kind == _ARROW):
                text = "what the body is and what Content-Type says are not the same: JSON or Arrow?"
                raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text)
            found.add(self._decoder.sort(body, now_ms))
            return found
        if body.count(b"\n") > MAX_LINES:
            text = f"the body has more than {MAX_LINES} lines; send less at a time"
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
        for part in self._decoder.sort_lines(body, now_ms):
            if found.accepted or found.refused:
                await asyncio.sleep(0)  # others have their turn
            found.add(part)
        if not found.accepted and not found.refused:
            found.add(Sorted(refused=[Refused(0, "empty_payload", "the body is empty")]))
        return found

    def _check_kafka(self) -> None:
        if self._outlet.stalled_s > self._patience.stalled_s:
            raise _away(f"Kafka has taken nothing for {self._outlet.stalled_s:.0f} s; nothing was taken in, try later")

    def _offer(self, messages: list[Message], told: asyncio.Future[int] | None = None) -> None:
        now_ms = time.time_ns() // 1_000_000
        if not self._outlet.offer(messages, now_ms, None if told is None else _tell(told)):
            text = "more readings wait for Kafka than there is room for; nothing was taken in, try again shortly"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, text, wait_s=1)

    async def _deliver(self, messages: list[Message]) -> None:
        told: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._offer(messages, told)
        try:
            async with asyncio.timeout(self._patience.ack_s):
                failed = await told
        except TimeoutError:
            raise _away(
                f"Kafka has not confirmed within {self._patience.ack_s:g} s; it may yet: sending the same readings "
                "again does no harm, repeats are dropped"
            ) from None
        if failed:
            raise _away("Kafka has refused the readings, or some of them; see the service's log")

    def _count(self, found: "_Found") -> None:
        self._accepted.inc(found.accepted)
        for reason, count in found.rejected.items():
            metrics.HTTP_READINGS.labels(reason).inc(count)


@dataclass(slots=True)
class _Found:
    """What is in a body. refused: the first ones; rejected: how many, by reason."""

    messages: list[Message] = field(default_factory=list)
    accepted: int = 0
    refused: list[Refused] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)

    def add(self, part: Sorted) -> None:
        """What follows in the body."""
        self.messages += part.messages
        self.accepted += part.accepted
        if part.refused:
            self.refused += part.refused[: _MOST_ERRORS - len(self.refused)]
            self.rejected.update(one.reason for one in part.refused)


def _waits_to_send(scope: Scope) -> bool:
    """Whether the client sends its body only when it is asked to (Expect: 100-continue)."""
    return any(name == b"expect" for name, _ in scope["headers"])


def _tell(told: asyncio.Future[int]) -> Any:
    def ended(failed: int) -> None:
        if not told.done():
            told.set_result(failed)

    return ended


def _away(text: str) -> Problem:
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, text, wait_s=5, close=True)


def _acknowledged(query: bytes) -> bool:
    if not query:
        return False
    if query == b"ack=all":
        return True
    if query == b"ack=queued":
        return False
    raise Problem(HTTPStatus.BAD_REQUEST, "only ?ack=all and ?ack=queued are known here", close=True)


def _kind(headers: Mapping[bytes, bytes]) -> bytes:
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind in _WHOLE or kind in _NDJSON:
        return kind
    text = (
        f"Content-Type {kind.decode('latin-1')[:60]!r} is not served: use application/json (one reading or an array), "
        f"application/x-ndjson (one a line) or {_ARROW.decode()}"
    )
    raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text, close=True)


def _taken(found: _Found, *, delivered: bool) -> bytes:
    if found.accepted == 1 and not found.refused and not delivered:
        return _ONE_QUEUED
    return _account(found, delivered=delivered)


def _nothing_good(found: _Found) -> tuple[int, bytes]:
    unreadable = bool(found.rejected) and found.rejected.keys() <= _UNREADABLE
    status = HTTPStatus.BAD_REQUEST if unreadable else HTTPStatus.UNPROCESSABLE_ENTITY
    return status, _account(found, delivered=False)


def _account(found: _Found, *, delivered: bool) -> bytes:
    rejected = found.rejected.total()
    told: dict[str, Any] = {"accepted": found.accepted, "rejected": rejected, "delivered": delivered}
    told["errors"] = [one._asdict() for one in found.refused]
    if rejected > len(found.refused):
        told["errors_left_out"] = rejected - len(found.refused)
    return msgspec.json.encode(told)
