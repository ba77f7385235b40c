"""Event times of readings: RFC 3339 text to epoch milliseconds, and the guard against clocks that are wrong."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
import numpy as np

from operators.batches import Ints
from operators.rejects import Fault

LATEST_MS = 10_413_791_999_999
"""2299-12-31T23:59:59.999Z: the last instant ClickHouse's DateTime64(3) holds."""

_Aware = Annotated[datetime, msgspec.Meta(tz=True)]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

_UNITS = ((1e-3, "seconds"), (1e3, "microseconds"), (1e6, "nanoseconds"))
_UNIT_SPREAD = 4.0
"""A unit is recognised when the stamp, read in it, lies within this factor of its message's own stamp."""
_UNITS_FROM_MS = 100_000_000_000
"""Message stamps before 1973 (synthetic ones) are too small for units to be told apart."""
_TYPICAL_MS = 1_700_000_000_000
"""Stands in for the stamp of a message that has none."""


def to_ms(stamps: Sequence[int | str]) -> tuple[Ints, dict[int, Fault]]:
    """Time stamps as they arrive -> (n,) epoch milliseconds, and the faults by position (their time is 0).

    Integers are milliseconds; text is RFC 3339 with an offset; what is finer than milliseconds is cut off.
    """
    try:
        moments = msgspec.convert(stamps, list[_Aware])
    except msgspec.ValidationError:
        return _to_ms_one_by_one(stamps)
    return np.array([(moment - _EPOCH) // _MILLISECOND for moment in moments], np.int64), {}


def _to_ms_one_by_one(stamps: Sequence[int | str]) -> tuple[Ints, dict[int, Fault]]:
    time_ms = np.zeros(len(stamps), np.int64)
    faults: dict[int, Fault] = {}
    for i, stamp in enumerate(stamps):
        number = _number(stamp) if isinstance(stamp, str) else stamp
        if isinstance(number, Fault):
            faults[i] = number
        elif -(2**63) <= number < 2**63:
            time_ms[i] = number
        else:
            faults[i] = Fault("timestamp_range", "timestamp: beyond 64 bits; send epoch milliseconds")
    return time_ms, faults


def _number(text: str) -> int | Fault:
    try:
        moment = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        example = "2026-01-31T12:00:00.000Z"
        detail = f"timestamp: {text[:40]!r} is not RFC 3339; send epoch milliseconds or text such as {example}"
        return Fault("timestamp_format", detail)
    if moment.tzinfo is None:
        detail = f"timestamp: {text[:40]!r} has no offset; end it with Z for UTC, or with an offset such as +02:00"
        return Fault("timestamp_format", detail)
    return (moment - _EPOCH) // _MILLISECOND


def guard(time_ms: Ints, kafka_ms: Ints, *, max_ahead_ms: int) -> dict[int, Fault]:
    """The rows whose event time cannot be right, judged by their message's own time stamp.

    time_ms, kafka_ms: (n,) epoch milliseconds; a message without a stamp (-1 or 0) is not checked for clock_ahead.
    """
    reference = np.where(kafka_ms > 0, kafka_ms, _TYPICAL_MS)
    ahead = np.minimum(np.where(kafka_ms > 0, kafka_ms + max_ahead_ms, LATEST_MS), LATEST_MS)
    behind = np.where(reference >= _UNITS_FROM_MS, reference * (_UNIT_SPREAD * 1e-3), 0.0)
    # A superset, cheap to find, is judged one by one: none at all in a healthy stream.
    suspects = np.flatnonzero((time_ms < behind) | (time_ms < 0) | (time_ms > ahead))
    faults: dict[int, Fault] = {}
    for row in suspects.tolist():
        if fault := _judge(int(time_ms[row]), int(kafka_ms[row]), max_ahead_ms):
            faults[row] = fault
    return faults


def _judge(time_ms: int, kafka_ms: int, max_ahead_ms: int) -> Fault | None:
    if time_ms < 0:
        return Fault("timestamp_range", f"timestamp: {time_ms} ms is before 1970")
    if unit := _other_unit(time_ms, kafka_ms if kafka_ms > 0 else _TYPICAL_MS):
        return Fault("timestamp_unit", f"timestamp: {time_ms} looks like {unit}; send epoch milliseconds")
    if time_ms > LATEST_MS:
        return Fault("timestamp_range", f"timestamp: {time_ms} ms is after 2299")
    if kafka_ms > 0 and time_ms > kafka_ms + max_ahead_ms:
        detail = (
            f"timestamp: {time_ms - kafka_ms} ms later than its message was stamped, {max_ahead_ms} ms are allowed; "
            "check the sensor's clock"
        )
        return Fault("clock_ahead", detail)
    return None


def _other_unit(time_ms: int, reference_ms: int) -> str | None:
    if reference_ms < _UNITS_FROM_MS:
        return None
    for scale, unit in _UNITS:
        if 1 / _UNIT_SPREAD <= time_ms / (reference_ms * scale) <= _UNIT_SPREAD:
            return unit
    return None
