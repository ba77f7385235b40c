"""A cheap client for the benchmark of HTTP: some connections, each with one request at a time; answers by JSON.

python -m tests.bench.http_load PORT ndjson|single REQUESTS CONNECTIONS
"""

import asyncio
import json
import sys
import time
from typing import cast

import uvloop

from infra.simulate.payload import Encoder
from infra.simulate.runner import wall_clock_ms
from operators.batches import Series

SENSORS = 1_000
READINGS = 1_000
"""Of a request of NDJSON."""
_VARIANTS = 20
_AGAIN_S = 0.02


def request(body: bytes, kind: bytes) -> bytes:
    """A whole request."""
    head = b"POST /readings HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (kind, len(body)) + body


def requests(form: str) -> list[bytes]:
    """Some that differ, made beforehand."""
    now_ms = wall_clock_ms() - 60_000
    series = [
        Series(f"sensor-{i}", "temperature", f"hall-{i % 20}", f"machine-{i % 100}", "°C") for i in range(SENSORS)
    ]
    encoders = [Encoder(one) for one in series]

    def line(number: int) -> bytes:
        return encoders[number % SENSORS].encode(20 + number % 977 / 100, now_ms + number, b"}")

    if form == "single":
        return [request(line(number), b"application/json") for number in range(SENSORS)]
    bodies = [
        b"\n".join(map(line, range(first, first + READINGS))) for first in range(0, _VARIANTS * READINGS, READINGS)
    ]
    return [request(body, b"application/x-ndjson") for body in bodies]


class Load:
    """So many requests, over so many connections."""

    def __init__(self, asked: list[bytes], count: int) -> None:
        self.asked = asked
        self.left = count
        self.done = 0
        self.again = 0
        self.wanted = count
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answered(self, status: bytes) -> bool:
        """Count an answer; False when the request must be sent again."""
        if status == b"429":
            self.again += 1
            return False
        if status != b"202":
            self.finished.set_exception(RuntimeError(f"answered {status.decode()}"))
        self.done += 1
        if self.done == self.wanted:
            self.finished.set_result(None)
        return True


class Connection(asyncio.Protocol):
    """One request after another."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._said = b""
        self._now = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is none, and does all of it.
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        self._said += data
        if not self._said.endswith(b"}"):
            return
        status, self._said = self._said[9:12], b""
        if self._load.answered(status):
            self._next()
        else:
            asyncio.get_running_loop().call_later(_AGAIN_S, self._transport.write, self._now)

    def _next(self) -> None:
        if self._load.left > 0:
            self._load.left -= 1
            self._now = self._load.asked[self._load.left % len(self._load.asked)]
            self._transport.write(self._now)


async def send(port: int, form: str, count: int, connections: int) -> dict[str, float]:
    """Send them; how long it took, and how often the service asked to wait."""
    load = Load(requests(form), count)
    began_s = time.perf_counter()
    for _ in range(connections):
        await asyncio.get_running_loop().create_connection(lambda: Connection(load), "127.0.0.1", port)
    await load.finished
    return {"seconds": time.perf_counter() - began_s, "again": load.again}


if __name__ == "__main__":
    given_port, given_form, given_count, given_connections = sys.argv[1:]
    print(json.dumps(uvloop.run(send(int(given_port), given_form, int(given_count), int(given_connections)))))
