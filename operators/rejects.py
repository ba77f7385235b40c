"""What is refused, and why: a closed vocabulary of reasons, and the rows of the table dead_letters."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from operators.batches import Labels, Messages, Rows
from operators.records import DEAD_LETTERS

Reason = Literal[
    "null_payload",  # a tombstone: the message has no payload
    "empty_payload",  # nothing, or only white space
    "too_large",  # more bytes, or more readings in one message, than allowed
    "not_utf8",  # neither UTF-8 text nor Arrow IPC
    "bad_json",  # not JSON, nested too deeply, or cut off
    "bad_arrow",  # Arrow IPC that cannot be read
    "unknown_schema",  # names a schema that the schema registry does not know
    "bad_schema",  # names a schema that cannot be a reading's
    "schema_mismatch",  # bytes that do not fit the schema they name
    "missing_field",  # sensor_id, value or timestamp is absent or null
    "wrong_type",  # a field of another type than its own, or an element that is no object
    "text_length",  # a text that is empty or longer than its field allows
    "not_finite",  # a value that is NaN, infinite or beyond 64-bit floating point
    "timestamp_format",  # text that is not RFC 3339 with an offset
    "timestamp_unit",  # seconds, microseconds or nanoseconds where milliseconds are expected
    "timestamp_range",  # before 1970 or after 2299
    "clock_ahead",  # later than its message's own time stamp allows
    "unknown_type",  # a sensor type that is configured nowhere, when such are refused
]
"""Why a payload, or one reading of it, was refused."""

REASONS: tuple[Reason, ...] = get_args(Reason)

KEPT_BYTES = 65_536
"""How much of a refused payload is kept."""


class Fault(NamedTuple):
    """Why something is refused; `detail` says in words what was wrong and what to do."""

    reason: Reason
    detail: str


class Reject(NamedTuple):
    """One refused payload, or part of one.

    message: its number in the batch; idx: position within the message.
    payload: the refused bytes, empty for a tombstone.
    """

    message: int
    idx: int
    fault: Fault
    payload: bytes


def to_rows(rejects: Sequence[Reject], messages: Messages, *, topic: str, partition: int) -> Rows:
    """Rows for dead_letters. Bytes that are no UTF-8 are kept readable as \\x.. escapes."""
    numbers = np.array([reject.message for reject in rejects], np.int64)
    return Rows(
        DEAD_LETTERS.name,
        len(rejects),
        {
            "topic": topic,
            "partition": partition,
            "offset": messages.offsets[numbers],
            "idx": np.array([reject.idx for reject in rejects], np.int32),
            "kafka_time": np.maximum(messages.kafka_ms[numbers], 0),
            "reason": _reasons(rejects),
            "detail": [reject.fault.detail for reject in rejects],
            "payload": [reject.payload[:KEPT_BYTES].decode("utf-8", "backslashreplace") for reject in rejects],
            "payload_bytes": np.array([len(reject.payload) for reject in rejects], np.int64),
        },
    )


def _reasons(rejects: Sequence[Reject]) -> Labels:
    codes = {reason: code for code, reason in enumerate(REASONS)}
    return Labels(np.array([codes[reject.fault.reason] for reject in rejects], np.int32), REASONS)
