"""A TCP proxy that can be told to be a bad connection."""

import asyncio
import threading
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

_HOST = "127.0.0.1"
_CHUNK_BYTES = 65_536
_HTTP_500 = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 6\r\nConnection: close\r\n\r\nchaos\n"
_TINY_S = 0.02


@dataclass(frozen=True, slots=True)
class Weather:
    """How connections are. delay_s: of every piece, either way. bytes_per_s: 0 is no bound.

    silent: nothing comes through. unanswered: nothing comes back. refuses: no new connection, the old ones are reset.
    fails: every request is answered HTTP 500.
    """

    delay_s: float = 0.0
    bytes_per_s: float = 0.0
    silent: bool = False
    unanswered: bool = False
    refuses: bool = False
    fails: bool = False


class Proxy:
    """Listens on a loopback port of its own and passes on to `upstream_port`.

    kafka: brokers tell clients where they are; that is replaced by where the proxy is.
    """

    def __init__(self, upstream_port: int, *, kafka: bool = False) -> None:
        self.port = 0
        self.felt = 0
        """How often somebody met a bad connection: pieces that were held, delayed or answered with an error."""
        self._upstream_port = upstream_port
        self._kafka = kafka
        self._weather = Weather()
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._listen())

    def set(self, weather: Weather) -> None:
        """From now on, also on connections that exist."""
        self._do(self._set(weather))

    def cut(self) -> None:
        """Reset every connection."""
        self._do(self._cut())

    def close(self) -> None:
        """Be gone."""
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _do(self, work: Awaitable[None]) -> None:
        async def done() -> None:
            await work

        asyncio.run_coroutine_threadsafe(done(), self._loop).result(10)

    # From here on: the loop's thread.

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, _HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _set(self, weather: Weather) -> None:
        before, self._weather = self._weather, weather
        if weather.refuses and not before.refuses:
            await self._stop_listening()
        if weather.refuses or weather.fails:
            await self._cut()
        if before.refuses and not weather.refuses:
            await self._listen()

    async def _stop_listening(self) -> None:
        """Take no more in first: asyncio leaves a connection open that is being accepted while a server closes."""
        server, self._server = self._server, None
        if server is None:
            return
        for one in server.sockets:
            self._loop.remove_reader(one.fileno())
        await asyncio.sleep(_TINY_S)
        server.close()

    async def _cut(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _end(self) -> None:
        """Until nothing is left, also of connections that were being made at the last moment."""
        await self._stop_listening()
        self._weather = Weather()
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            await self._cut()
            await asyncio.wait(tasks, timeout=_TINY_S)
        await asyncio.sleep(_TINY_S)  # connections that are reset close in a later turn of the loop

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                if self._weather.fails:
                    await self._fail(reader, writer)
                else:
                    await self._connect(reader, writer)
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _fail(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(_CHUNK_BYTES)
        self.felt += 1
        writer.write(_HTTP_500)
        await writer.drain()
        writer.write_eof()
        while await reader.read(_CHUNK_BYTES):  # a reset would take the answer away from who still sends
            pass

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(_HOST, self._upstream_port)
        self._open.add(up_writer)
        pumps = [
            asyncio.ensure_future(self._pump(reader, up_writer, back=False)),
            asyncio.ensure_future(self._pump(up_reader, writer, back=True)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in pumps:
                one.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._open.discard(up_writer)
            up_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, back: bool) -> None:
        answers = _Answers(self._upstream_port, self.port) if self._kafka and back else None
        while chunk := await reader.read(_CHUNK_BYTES):
            weather = self._weather
            self.felt += bool(weather.delay_s or weather.silent or (back and weather.unanswered))
            if weather.delay_s:
                await asyncio.sleep(weather.delay_s)
            if weather.bytes_per_s:
                await asyncio.sleep(len(chunk) / weather.bytes_per_s)
            while self._weather.silent or (back and self._weather.unanswered):
                await asyncio.sleep(_TINY_S)
            writer.write(answers.passed(chunk) if answers else chunk)
            await writer.drain()


class _Answers:
    """What a broker answers, with its address replaced. An address is a name and a port of four bytes.

    Answers are frames of a length and so many bytes; short ones, which alone hold addresses, pass when they are whole.
    """

    _SHORT_BYTES = 2**20  # a thousand topics

    def __init__(self, port: int, instead: int) -> None:
        host = _HOST.encode()
        self._was, self._is = host + port.to_bytes(4, "big"), host + instead.to_bytes(4, "big")
        self._kept = b""
        self._rest = 0  # of a long frame, which passes as it comes

    def passed(self, chunk: bytes) -> bytes:
        out: list[Any] = []
        data = self._kept + chunk
        while data:
            if self._rest:
                piece, data = data[: self._rest], data[self._rest :]
                self._rest -= len(piece)
                out.append(piece)
                continue
            if len(data) < 4:
                break
            length = 4 + int.from_bytes(data[:4], "big")
            if length > self._SHORT_BYTES:
                self._rest = length
                continue
            if len(data) < length:
                break
            out.append(data[:length].replace(self._was, self._is))
            data = data[length:]
        self._kept = data
        return b"".join(out)
