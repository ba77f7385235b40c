"""Payload bytes to columns, a whole batch of messages a call; what cannot be read becomes rejects.

The kind of a payload is seen from its content: one JSON object, a JSON array of objects, NDJSON (one object a line), an
Arrow IPC stream or file, or what a schema registry frames. A bad element never takes its neighbours with it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import msgspec
import numpy as np

from operators.batches import Codes, Floats, Ints, Labels, Messages
from operators.decode_arrow import ArrowRefused, is_arrow, read_table, row_text, to_columns
from operators.decode_json import explain, is_array, split
from operators.framed import Refused, Schemas, is_framed
from operators.reading_columns import ReadingColumns
from operators.records import Reading
from operators.rejects import Fault, Reject
from operators.series_codes import SeriesCodes
from operators.timestamps import guard

MAX_ELEMENTS = 250_000
"""Readings one message may hold, so that a small payload cannot unfold into a large batch."""

_CHUNK = 512
"""Messages whose decoded objects are alive at a time: few enough to stay in the processor's cache."""

_one = msgspec.json.Decoder(Reading).decode
_many = msgspec.json.Decoder(list[Reading]).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Decoded:
    """The good readings and the rejects of some messages, both in the order of (message, idx).

    message: (n,) number of the reading's message in the batch; idx: (n,) position within it.
    code: (n,) numbers of completed series; the other columns are those of `ReadingBatch`.
    """

    message: Ints
    idx: Codes
    code: Codes
    time_ms: Ints
    value: Floats
    seq: Ints | None
    attributes: list[str] | None
    label: Labels | None
    rejects: list[Reject]


def decode(
    messages: Messages,
    codes: SeriesCodes,
    *,
    max_payload_bytes: int,
    max_ahead_ms: int,
    schemas: Schemas | None = None,
) -> Decoded:
    """Decode messages; any payload is answered by readings or rejects, none raises.

    schemas: those of framed payloads, all of them (`Schemas.missing`); without it such are no payloads.
    """
    batch = _Batch(messages, codes, max_payload_bytes, schemas)
    for number in batch.add_single_objects():
        batch.add_other(number)
    return batch.finish(max_ahead_ms)


class _Batch:
    """Collects columns and rejects; single objects come first, elements of other payloads after them."""

    def __init__(self, messages: Messages, codes: SeriesCodes, max_payload_bytes: int, schemas: Schemas | None) -> None:
        self._messages = messages
        self._schemas = schemas
        self._max_payload_bytes = max_payload_bytes
        self._codes = codes
        self._columns = ReadingColumns(codes)
        self._others: list[int] = []
        self._element_message: list[Ints] = []
        self._element_idx: list[Codes] = []
        self._rejects: list[Reject] = []

    def add_single_objects(self) -> list[int]:
        """Decode what is one JSON object per message; return the numbers of all other messages.

        One call of the decoder per message costs no more than one per batch (`decode_lines`), which would also take
        two broken halves in two messages for one reading.
        """
        payloads, limit = self._messages.payloads, self._max_payload_bytes
        framed: list[int] = []
        if self._schemas is not None:
            framed = [n for n, one in enumerate(payloads) if one is not None and is_framed(one) and len(one) <= limit]
            payloads = _without(payloads, framed)
        for start in range(0, len(payloads), _CHUNK):
            readings: list[Reading] = []
            for number, payload in enumerate(payloads[start : start + _CHUNK], start):
                if payload is None or len(payload) > limit:
                    self._others.append(number)
                    continue
                try:
                    readings.append(_one(payload))
                except _UNREADABLE:
                    self._others.append(number)
            self._columns.add(readings)
        return self._others if self._schemas is None else self._add_framed(framed, self._schemas)

    def _add_framed(self, framed: list[int], schemas: Schemas) -> list[int]:
        """Decode what a schema registry frames; return the numbers of messages that are left."""
        payloads = self._messages.payloads
        for start in range(0, len(framed), _CHUNK):
            readings, taken = [], []
            for number in framed[start : start + _CHUNK]:
                try:
                    readings.append(schemas.read(payloads[number] or b""))
                except Refused as refused:
                    self._reject(number, refused.fault)
                else:
                    taken.append(number)
            self._columns.add(readings)
            self._element_message.append(np.array(taken, np.int64))
            self._element_idx.append(np.zeros(len(taken), np.int32))
        return sorted(set(self._others) - set(framed)) if framed else self._others

    def add_other(self, number: int) -> None:
        """Decode a message that is anything but one good JSON object."""
        payload = self._messages.payloads[number]
        if payload is None:
            self._reject(number, Fault("null_payload", "the message has no payload (a tombstone)"))
        elif len(payload) > self._max_payload_bytes:
            allowed = f"kafka.max_payload_bytes = {self._max_payload_bytes}"
            detail = f"{len(payload)} bytes, more than {allowed}; split the message or raise the limit"
            self._reject(number, Fault("too_large", detail))
        elif not payload or payload.isspace():
            self._reject(number, Fault("empty_payload", "the payload is empty"))
        elif is_arrow(payload):
            self._add_arrow(number, payload)
        else:
            self._add_json(number, payload)

    def _add_arrow(self, number: int, payload: bytes) -> None:
        try:
            columns = to_columns(read_table(payload, max_rows=MAX_ELEMENTS), self._codes)
        except ArrowRefused as refused:
            self._reject(number, refused.fault)
        else:
            self._columns.add_arrow(columns)
            self._add_positions(number, range(len(columns.time_ms)))

    def _add_json(self, number: int, payload: bytes) -> None:
        if is_array(payload):
            try:
                readings = _many(payload)
            except _UNREADABLE:
                pass
            else:
                if not self._too_many(number, len(readings)):
                    self._add_elements(number, readings, range(len(readings)))
                return
        pieces = split(payload)
        if self._too_many(number, len(pieces)):
            return
        readings, positions = [], []
        for idx, piece in enumerate(pieces):
            try:
                readings.append(_one(piece))
            except _UNREADABLE as error:
                self._rejects.append(Reject(number, idx, explain(piece, error), piece))
            else:
                positions.append(idx)
        self._add_elements(number, readings, positions)

    def _too_many(self, number: int, elements: int) -> bool:
        if elements <= MAX_ELEMENTS:
            return False
        detail = f"{elements} readings in one message, {MAX_ELEMENTS} are allowed; split the message"
        self._reject(number, Fault("too_large", detail))
        return True

    def _add_elements(self, number: int, readings: list[Reading], positions: range | list[int]) -> None:
        self._columns.add(readings)
        self._add_positions(number, positions)

    def _add_positions(self, number: int, positions: range | list[int]) -> None:
        if not positions:
            return
        self._element_message.append(np.full(len(positions), number, np.int64))
        self._element_idx.append(np.array(positions, np.int32))

    def _reject(self, number: int, fault: Fault) -> None:
        self._rejects.append(Reject(number, 0, fault, self._messages.payloads[number] or b""))

    def finish(self, max_ahead_ms: int) -> Decoded:
        """Check whole columns, refuse the rows at fault, bring all in order."""
        columns = self._columns
        singles = np.delete(np.arange(len(self._messages), dtype=np.int64), self._others)
        message = np.concatenate([singles, *self._element_message])
        idx = np.concatenate([np.zeros(len(singles), np.int32), *self._element_idx])
        decoded = Decoded(
            message,
            idx,
            columns.code,
            columns.time_ms,
            columns.value,
            columns.seq,
            columns.attributes,
            columns.label,
            self._rejects,
        )
        faults = columns.faults
        for row in np.flatnonzero(decoded.code < 0).tolist():
            sensor_type = self._codes.refused_type(int(decoded.code[row]))
            detail = f"sensor_type: {sensor_type!r} is configured nowhere, and registry.unknown_types is 'refuse'"
            faults.setdefault(row, Fault("unknown_type", detail))
        for row in np.flatnonzero(~np.isfinite(decoded.value)).tolist():
            faults.setdefault(row, Fault("not_finite", "value: NaN and Infinity are no values"))
        for row, fault in guard(decoded.time_ms, self._messages.kafka_ms[message], max_ahead_ms=max_ahead_ms).items():
            faults.setdefault(row, fault)
        self._reject_rows(decoded, faults)
        if not faults and not self._element_message:
            return decoded
        return _in_order(decoded, faults)

    def _reject_rows(self, decoded: Decoded, faults: dict[int, Fault]) -> None:
        opened, piece = -1, _pieces(b"", None)
        for row in sorted(faults):
            number, idx = int(decoded.message[row]), int(decoded.idx[row])
            if number != opened:
                opened, piece = number, _pieces(self._messages.payloads[number] or b"", self._schemas)
            self._rejects.append(Reject(number, idx, faults[row], piece(idx)))
        self._rejects.sort(key=lambda reject: (reject.message, reject.idx))


def _without(payloads: list[bytes | None], numbers: list[int]) -> list[bytes | None]:
    if not numbers:
        return payloads
    rest = payloads.copy()
    for number in numbers:
        rest[number] = None
    return rest


def _pieces(payload: bytes, schemas: Schemas | None) -> Callable[[int], bytes]:
    """What a payload holds at a position, for the dead letters."""
    if schemas is not None and is_framed(payload):
        return lambda _: payload
    if is_arrow(payload):
        return partial(row_text, read_table(payload, max_rows=MAX_ELEMENTS))
    return split(payload).__getitem__


def _in_order(decoded: Decoded, faults: dict[int, Fault]) -> Decoded:
    good = np.delete(np.arange(len(decoded.message)), list(faults))
    rows = good[np.argsort(decoded.message[good], kind="stable")]
    return Decoded(
        decoded.message[rows],
        decoded.idx[rows],
        decoded.code[rows],
        decoded.time_ms[rows],
        decoded.value[rows],
        None if decoded.seq is None else decoded.seq[rows],
        None if decoded.attributes is None else [decoded.attributes[row] for row in rows.tolist()],
        None if decoded.label is None else Labels(decoded.label.codes[rows], decoded.label.values),
        decoded.rejects,
    )
