"""Sends what the simulation makes to the HTTP service, as a gateway would: NDJSON, sent again until it is taken in."""

import http.client
import json
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from infra.simulate.config import SimulationError
from infra.simulate.simulation import Message

_LINES = 1_000
_PATIENCE_S = 60.0
_TIMEOUT_S = 60.0
_NOT_NOW = (429, 503)


class NotTakenIn(SimulationError):
    """The service does not answer, or refuses; the message says why."""


class HttpProducer:
    """For one thread. url: of the service, without a path. key: when it wants one.

    What the service refuses reading by reading is counted in `refused`, and not sent again. Where it asks to wait, or
    does not answer, that is done for a minute.
    """

    def __init__(self, url: str, *, key: str = "") -> None:
        place = urlsplit(url)
        if place.scheme not in ("http", "https") or not place.hostname or place.path.strip("/"):
            raise NotTakenIn(f"{url}: expected http://host:port or https://host:port")
        connect = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
        self._url = url
        self._connection = connect(place.hostname, place.port, timeout=_TIMEOUT_S)
        self._headers = {"Content-Type": "application/x-ndjson"} | ({"X-API-Key": key} if key else {})
        self._lines: list[bytes] = []
        self.refused = 0

    def produce_many(self, topic: str, messages: Iterable[Message]) -> None:
        """Send messages; which topic they come to is the service's affair. Raises NotTakenIn."""
        for _, value, _ in messages:
            if not value.strip():
                self.refused += 1  # an empty line says nothing, so there is none to be refused
                continue
            self._lines.append(value.replace(b"\n", b" "))
            if len(self._lines) == _LINES:
                self._send()
        self._send()

    def flush(self) -> None:
        """Kafka has confirmed all that was sent, for that is what was asked for."""

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.flush()
        finally:
            self.close()

    def _send(self) -> None:
        lines, self._lines = self._lines, []
        if not lines:
            return
        body = b"\n".join(lines)
        deadline_s = time.monotonic() + _PATIENCE_S
        while True:
            status, wait_s, said = self._ask("/readings?ack=all", body)
            if status in (202, 400, 422):
                self.refused += json.loads(said)["rejected"]
                return
            if status not in _NOT_NOW or time.monotonic() > deadline_s:
                raise NotTakenIn(f"{self._url} takes no readings in: {_why(status, said)}")
            time.sleep(wait_s)

    def _ask(self, path: str, body: bytes) -> tuple[int, float, bytes]:
        """Status, seconds to wait before the next attempt, and what was said; 503 when nobody answers."""
        try:
            self._connection.request("POST", path, body, self._headers)
            answer = self._connection.getresponse()
            return answer.status, float(answer.headers.get("Retry-After", 1)), answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return 503, 1.0, str(error).encode()


def _why(status: int, said: bytes) -> str:
    try:
        return str(json.loads(said)["error"])
    except (ValueError, KeyError, TypeError):
        return f"{status}: {said[:200].decode(errors='replace')}"
