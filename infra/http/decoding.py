"""A request's body to Kafka messages, by the flow's own decoder: what is refused here is what the flow would refuse.

Readings of one partition travel in one message, as a JSON array, each as it was sent: that costs Kafka and the flow a
fraction of a message each. Their order is kept; the key is that of the first.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np

from infra.http.ports import Message
from operators.batches import NO_SEQ, Codes, Messages
from operators.decode import MAX_ELEMENTS, Decoded, decode
from operators.decode_arrow import MAX_UNFOLDED_BYTES, is_arrow
from operators.decode_json import explain, is_array, split
from operators.intake import MAX_SERIES
from operators.records import Reading
from operators.registry import Registry
from operators.rejects import Fault
from operators.series_codes import SeriesCodes

MESSAGE_BYTES = 256 * 1024
"""Readings that travel together fill no more than this; one that is larger travels alone."""

MAX_LINES = MAX_ELEMENTS
"""Of one body."""

_LINES = 4_096
"""Lines decoded at a time: other requests wait for no more."""

_ZERO = np.zeros(1, np.int64)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_one = msgspec.json.Decoder(Reading).decode


class Refused(NamedTuple):
    """A reading that was not taken. row: its position in the body, from 0; empty lines do not count."""

    row: int
    reason: str
    detail: str


@dataclass(slots=True)
class Sorted:
    """What is in a body, or a part of one. messages: the good readings, in order within each partition."""

    messages: list[Message] = field(default_factory=list)
    accepted: int = 0
    refused: list[Refused] = field(default_factory=list)


class BodyDecoder:
    """Decodes bodies one after another; what it has learnt of sensors is kept, within bounds.

    partition_of: the partition of a sensor's readings.
    max_reading_bytes: of one reading. max_ahead_ms: how far a time stamp may lie after now.
    """

    def __init__(
        self,
        registry: Registry,
        partition_of: Callable[[bytes], int],
        *,
        max_reading_bytes: int,
        max_ahead_ms: int,
    ) -> None:
        self._registry = registry
        self._partition_of = partition_of
        self._max_reading_bytes = max_reading_bytes
        self._max_ahead_ms = max_ahead_ms
        self._begin_anew()

    def sort(self, body: bytes, now_ms: int) -> Sorted:
        """A body of any kind but NDJSON: an object, an array, an Arrow stream."""
        found = Sorted()
        self._bound_memory()
        one = Messages([body], _ZERO, np.full(1, now_ms, np.int64))
        # A piece of a body is no message of its own yet, so its size is looked at afterwards.
        decoded = decode(one, self._codes, max_payload_bytes=len(body), max_ahead_ms=self._max_ahead_ms)
        found.refused = [Refused(one.idx, one.fault.reason, one.fault.detail) for one in decoded.rejects]
        if not len(decoded.code):
            return found
        if is_arrow(body):
            size = sum(map(len, decoded.attributes or ()))
            if size > MAX_UNFOLDED_BYTES:
                detail = f"attributes: {size} bytes of text, {MAX_UNFOLDED_BYTES} are allowed; split the body"
                return Sorted(refused=[Refused(0, "too_large", detail)])
            self._add(found, self._as_json(decoded), decoded.code, decoded.idx.tolist())
        elif body[:1] == b"{" and len(decoded.code) == 1 and not decoded.rejects:
            self._add(found, [body.rstrip()], decoded.code, range(1))
        else:
            pieces = _pieces(body)
            rows = decoded.idx.tolist()
            self._add(found, [pieces[row] for row in rows], decoded.code, rows)
        return found

    def sort_lines(self, body: bytes, now_ms: int) -> Iterator[Sorted]:
        """NDJSON, some thousand lines at a time; MAX_LINES at most."""
        lines = [line for line in body.split(b"\n") if line and not line.isspace()]
        for first in range(0, len(lines), _LINES):
            yield self._sort_part(lines[first : first + _LINES], first, now_ms)

    def _sort_part(self, lines: list[bytes], first: int, now_ms: int) -> Sorted:
        found = Sorted()
        self._bound_memory()
        # A line that is no object, such as an array, would be a whole payload of its own.
        odd = {row for row, line in enumerate(lines) if line[:1] != b"{" and line.lstrip()[:1] != b"{"}
        for row in odd:
            fault = _why(lines[row])
            found.refused.append(Refused(first + row, fault.reason, fault.detail))
        rows = [row for row in range(len(lines)) if row not in odd] if odd else list(range(len(lines)))
        objects = [lines[row] for row in rows] if odd else lines
        messages = Messages([*objects], np.zeros(len(rows), np.int64), np.full(len(rows), now_ms, np.int64))
        decoded = decode(
            messages, self._codes, max_payload_bytes=self._max_reading_bytes, max_ahead_ms=self._max_ahead_ms
        )
        for one in decoded.rejects:
            found.refused.append(Refused(first + rows[one.message], one.fault.reason, one.fault.detail))
        found.refused.sort()
        numbers = decoded.message.tolist()
        self._add(found, [objects[n] for n in numbers], decoded.code, [first + rows[n] for n in numbers])
        return found

    def _add(self, found: Sorted, pieces: list[bytes], code: Codes, rows: list[int] | range) -> None:
        """pieces: JSON of one good reading each; code: their series; rows: where they were."""
        if any(len(piece) > self._max_reading_bytes for piece in pieces):
            small = [i for i, piece in enumerate(pieces) if len(piece) <= self._max_reading_bytes]
            for i in set(range(len(pieces))) - set(small):
                found.refused.append(Refused(rows[i], "too_large", self._too_large(len(pieces[i]))))
            found.refused.sort()
            pieces, code = [pieces[i] for i in small], code[small]
        found.accepted += len(pieces)
        if len(pieces) == 1:
            number = int(code[0])
            found.messages.append((self._partition(number), self._key(number), pieces[0]))
            return
        for partition, members in self._by_partition(code):
            for group in _bounded(members, pieces):
                parts = [pieces[i] for i in group]
                value = parts[0] if len(parts) == 1 else b"[%b]" % b",".join(parts)
                found.messages.append((partition, self._key(int(code[group[0]])), value))

    def _as_json(self, decoded: Decoded) -> list[bytes]:
        """Rows of Arrow as JSON: a stream of some of them could hold far more than they do (dictionaries, views)."""
        heads = {code: self._head(code) for code in np.unique(decoded.code).tolist()}
        columns = decoded.code.tolist(), decoded.value.tolist(), decoded.time_ms.tolist()
        rows = [b'%b"value":%r,"timestamp":%d' % (heads[c], v, t) for c, v, t in zip(*columns, strict=True)]
        if decoded.seq is not None:
            seqs = decoded.seq.tolist()
            rows = [r if q == NO_SEQ else b'%b,"seq":%d' % (r, q) for r, q in zip(rows, seqs, strict=True)]
        if decoded.attributes is not None:
            texts = decoded.attributes
            rows = [b'%b,"attributes":%b' % (r, a.encode()) if a else r for r, a in zip(rows, texts, strict=True)]
        if decoded.label is not None:
            labels = [msgspec.json.encode(text) for text in decoded.label.values]
            codes = decoded.label.codes.tolist()
            rows = [b'%b,"label":%b' % (r, labels[c]) for r, c in zip(rows, codes, strict=True)]
        return [row + b"}" for row in rows]

    def _head(self, code: int) -> bytes:
        labels = {name: text for name, text in self._codes.series.values[code]._asdict().items() if text}
        return msgspec.json.encode(labels)[:-1] + b","

    def _by_partition(self, code: Codes) -> Iterator[tuple[int, list[int]]]:
        """Each partition and the positions of its readings, in order."""
        series = self._codes.series.values
        while len(self._partitions) < len(series):
            self._partitions.append(self._partition_of(series[len(self._partitions)].sensor_id.encode()))
        of_row = np.array(self._partitions, np.int32)[code]
        for partition in np.unique(of_row).tolist():
            yield partition, np.flatnonzero(of_row == partition).tolist()

    def _partition(self, code: int) -> int:
        if code < len(self._partitions):
            return self._partitions[code]
        return self._partition_of(self._key(code))

    def _key(self, code: int) -> bytes:
        return self._codes.series.values[code].sensor_id.encode()

    def _too_large(self, size: int) -> str:
        return f"{size} bytes, more than kafka.max_payload_bytes = {self._max_reading_bytes} allows"

    def _bound_memory(self) -> None:
        if len(self._codes) > MAX_SERIES:
            self._begin_anew()

    def _begin_anew(self) -> None:
        self._codes = SeriesCodes(self._registry)
        self._partitions: list[int] = []


def _pieces(body: bytes) -> list[bytes]:
    """The elements of a payload as `operators.decode_json.split` tells them, quicker where all is well."""
    if is_array(body):
        try:
            return [bytes(raw) for raw in _raws(body)]
        except _UNREADABLE:
            pass
    return split(body)


def _why(line: bytes) -> Fault:
    """Why a line that is no object is refused."""
    try:
        _one(line)
    except _UNREADABLE as error:
        return explain(line, error)
    return Fault("wrong_type", "expected `object`")


def _bounded(members: list[int], pieces: list[bytes]) -> Iterator[list[int]]:
    """Members in order, in groups that fit into a message each."""
    if sum(len(pieces[i]) for i in members) + len(members) < MESSAGE_BYTES:
        yield members
        return
    group: list[int] = []
    size = 0
    for i in members:
        if group and size + len(pieces[i]) >= MESSAGE_BYTES:
            yield group
            group, size = [], 0
        group.append(i)
        size += len(pieces[i]) + 1
    yield group
