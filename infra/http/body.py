"""A request's body: unpacked, and no larger, slower or more numerous than allowed."""

import asyncio
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus

from infra.http.answers import Problem, Receive

_GZIP = 31
_DISCARD_S = 2.0


class ClientGone(Exception):
    """Nobody is there to be answered."""


class Incoming:
    """The pieces of one body. more: whether some are still to come."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.more = True

    async def next(self) -> bytes:
        """The next piece. Raises ClientGone."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        self.more = message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        return piece


class BodyReader:
    """max_bytes: of one body, packed and unpacked. memory_bytes: of all held at a time. timeout_s: to arrive."""

    def __init__(self, *, max_bytes: int, memory_bytes: int, timeout_s: float) -> None:
        self._max_bytes = max_bytes
        self._memory_bytes = memory_bytes
        self._timeout_s = timeout_s
        self._held = 0

    @contextmanager
    def room(self) -> Iterator["Room"]:
        """What a request may hold in memory; given back at the end."""
        room = Room(self)
        try:
            yield room
        finally:
            self._held -= room.taken

    async def read(
        self, headers: Mapping[bytes, bytes], incoming: "Incoming", room: "Room", *, at_most: int | None = None
    ) -> bytes:
        """The body, unpacked. at_most: a bound of its own, below the general one. Raises Problem, ClientGone."""
        unpack = _unpacker(headers)
        most = self._max_bytes if at_most is None else min(at_most, self._max_bytes)
        told = headers.get(b"content-length", b"")
        if told and int(told) > most:
            raise _too_large(most)
        try:
            async with asyncio.timeout(self._timeout_s):
                chunk = await incoming.next()
                if unpack is None and not incoming.more and len(chunk) <= most:
                    room.take(len(chunk))
                    return chunk
                return await _read_on(chunk, unpack, incoming, room, most)
        except TimeoutError:
            text = f"the body did not arrive within {self._timeout_s:g} s; send less at a time"
            raise Problem(HTTPStatus.REQUEST_TIMEOUT, text, close=True) from None

    async def drop(self, incoming: "Incoming") -> None:
        """Let in what is still on its way, for a while: a connection reset under it would take the answer along."""
        dropped = 0
        with suppress(TimeoutError, ClientGone):
            async with asyncio.timeout(_DISCARD_S):
                while incoming.more and dropped < self._max_bytes:
                    dropped += len(await incoming.next())

    def hold(self, size: int) -> None:
        """Count memory in. Raises Problem when there is none left."""
        if self._held + size > self._memory_bytes:
            text = "too many bodies at a time; try again shortly"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, text, wait_s=1, close=True)
        self._held += size


class Room:
    """The memory of one request."""

    def __init__(self, reader: BodyReader) -> None:
        self._reader = reader
        self.taken = 0

    def take(self, size: int) -> None:
        """So much more. Raises Problem."""
        self._reader.hold(size)
        self.taken += size


class Unpacker:
    """gzip as it arrives, also of several members; never more at a time than asked for."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)

    def more(self, chunk: bytes, most: int) -> bytes:
        """What the chunk unpacks to, cut off at `most` bytes. Raises Problem."""
        found = b""
        try:
            while chunk and len(found) < most:
                if self._member.eof:
                    if not chunk.strip(b"\0"):
                        break  # padding behind the last member
                    self._member = zlib.decompressobj(_GZIP)
                found += self._member.decompress(chunk, most - len(found))
                chunk = self._member.unconsumed_tail or self._member.unused_data
        except zlib.error as error:
            raise Problem(HTTPStatus.BAD_REQUEST, f"the body is not valid gzip: {error}", close=True) from None
        return found

    def check_end(self) -> None:
        """Raises Problem when the last member is cut off."""
        if not self._member.eof:
            raise Problem(HTTPStatus.BAD_REQUEST, "the body is not valid gzip: it is cut off")


def _unpacker(headers: Mapping[bytes, bytes]) -> Unpacker | None:
    encoding = headers.get(b"content-encoding", b"identity").lower()
    if encoding == b"gzip":
        return Unpacker()
    if encoding != b"identity":
        text = f"Content-Encoding {encoding.decode('latin-1')[:40]!r} is not served: use gzip or none"
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text, close=True)
    return None


async def _read_on(chunk: bytes, unpack: "Unpacker | None", incoming: Incoming, room: "Room", most: int) -> bytes:
    found = bytearray()
    while True:
        left = most - len(found)
        piece = chunk if unpack is None else unpack.more(chunk, left + 1)
        room.take(len(piece))
        if len(piece) > left:
            raise _too_large(most)
        found += piece
        if not incoming.more:
            break
        chunk = await incoming.next()
    if unpack is not None:
        unpack.check_end()
    return bytes(found)


def _too_large(most: int) -> Problem:
    text = f"the body has more than {most} bytes, packed or unpacked; send less at a time (NDJSON may be the largest)"
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text, close=True)
