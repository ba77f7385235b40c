"""What the embedded broker lacks and Kafka has: answers to a fetch end where the client asked them to end.

A proxy between worker and broker, so that what a worker holds in a catch-up can be measured as it is with Kafka.
Fetches are spoken in version 11 of the protocol, https://kafka.apache.org/protocol#The_Messages_Fetch
"""

import asyncio
import struct
import threading
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self

_HOST = "127.0.0.1"
_FETCH, _API_VERSIONS = 1, 18
_VERSION = 11


class FetchLimits:
    """Listens on a loopback port of its own and passes on to the broker at `upstream_port` while in the block."""

    def __init__(self, upstream_port: int) -> None:
        self.port = 0
        self._upstream_port = upstream_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fetch-limits", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, _HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        broker, to_broker = await asyncio.open_connection(_HOST, self._upstream_port)
        asked: dict[int, _Asked] = {}
        pumps = [
            asyncio.ensure_future(self._ask(client, to_broker, asked)),
            asyncio.ensure_future(self._answer(broker, to_client, asked)),
        ]
        with suppress(asyncio.CancelledError):
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for one in pumps:
            one.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        to_client.transport.abort()
        to_broker.transport.abort()
        self._tasks.discard(task)

    async def _ask(
        self, client: asyncio.StreamReader, to_broker: asyncio.StreamWriter, asked: dict[int, "_Asked"]
    ) -> None:
        """asked: takes what each request, by its number, was about."""
        while True:
            frame = await _frame(client)
            kind, _, number = struct.unpack_from(">hhi", frame)
            asked[number] = _Asked(kind, partition_bytes(frame) if kind == _FETCH else 0)
            to_broker.write(struct.pack(">i", len(frame)) + frame)
            await to_broker.drain()

    async def _answer(
        self, broker: asyncio.StreamReader, to_client: asyncio.StreamWriter, asked: dict[int, "_Asked"]
    ) -> None:
        was, instead = (_HOST.encode() + port.to_bytes(4, "big") for port in (self._upstream_port, self.port))
        while True:
            frame = await _frame(broker)
            request = asked.pop(int.from_bytes(frame[:4], "big"))
            if request.kind == _FETCH:
                frame = shortened(frame, request.partition_bytes)
            elif request.kind == _API_VERSIONS:
                frame = _without_later_fetches(frame)
            else:
                frame = frame.replace(was, instead)
            to_client.write(struct.pack(">i", len(frame)) + frame)
            await to_client.drain()


class _Asked(NamedTuple):
    """kind: of request. partition_bytes: of a fetch, how much of a partition it wants at most."""

    kind: int
    partition_bytes: int


def partition_bytes(fetch: bytes) -> int:
    """How much of a partition a fetch wants at most; its first partition speaks for all."""
    (client,) = struct.unpack_from(">h", fetch, 8)
    at = 10 + max(0, client) + 4 + 4 + 4 + 4 + 1 + 4 + 4  # of replica, wait, least and most bytes, isolation, session
    topics, topic = struct.unpack_from(">ih", fetch, at)
    if not topics:
        return 0
    at += 4 + 2 + topic + 4  # to the first partition
    (most,) = struct.unpack_from(">i", fetch, at + 4 + 4 + 8 + 8)
    return int(most)


async def _frame(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))


def _without_later_fetches(answer: bytes) -> bytes:
    """The broker's versions, of fetches only those that are understood here."""
    at = answer.index(struct.pack(">hh", _FETCH, 0), 6)
    return answer[: at + 4] + struct.pack(">h", _VERSION) + answer[at + 6 :]


def shortened(answer: bytes, partition_bytes: int) -> bytes:
    """An answer to a fetch with at least one batch, and at most so many bytes, of each partition."""
    out = [answer[:14]]  # number, throttle, error, session
    at = 14

    def take(form: str) -> int:
        """Pass a number on."""
        nonlocal at
        size = struct.calcsize(form)
        out.append(answer[at : at + size])
        at += size
        number: int = struct.unpack(form, out[-1])[0]
        return number

    def skip(size: int) -> None:
        nonlocal at
        out.append(answer[at : at + size])
        at += size

    for _ in range(take(">i")):
        skip(take(">h"))  # topic
        for _ in range(take(">i")):
            skip(4 + 2 + 3 * 8)  # partition, error, offsets
            skip(16 * max(0, take(">i")))  # aborted transactions
            skip(4)  # preferred replica
            (size,) = struct.unpack_from(">i", answer, at)
            records = answer[at + 4 : at + 4 + max(0, size)]
            at += 4 + len(records)
            kept = records[: _whole_batches(records, partition_bytes)]
            out += [struct.pack(">i", len(kept) if size >= 0 else size), kept]
    return b"".join(out)


def _whole_batches(records: bytes, most: int) -> int:
    """Bytes of the first batch and all that follow within `most`."""
    end = 0
    while end + 12 <= len(records):
        (length,) = struct.unpack_from(">i", records, end + 8)
        if end and end + 12 + length > most:
            break
        end += 12 + length
    return end
