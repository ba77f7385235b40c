"""Arrow IPC as a message: the columns of odd types that other writers make, and what damage makes of them."""

from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa

from tests.fuzz import mutate
from tests.fuzz.targets import payloads
from tests.operators.payloads import NOW_MS, arrow

_NAMES = ["a", "b"]
_TIMES = [NOW_MS, NOW_MS + 1]
_GOOD = {"sensor_id": _NAMES, "value": [1.0, 2.0], "timestamp": _TIMES}
_TEXT_TIMES = ["2026-01-31T08:00:00+01:00", None]
_MOMENTS = [datetime.fromtimestamp(ms / 1000, UTC) for ms in _TIMES]


def _dictionary(*values: str | None) -> pa.Array:
    return pa.array(values).dictionary_encode()


SEEDS = [
    arrow(_GOOD),
    arrow(_GOOD, form="file"),
    arrow(_GOOD, compression="zstd"),
    arrow(_GOOD, compression="lz4"),
    arrow(_GOOD | {"sensor_id": _dictionary("a", None), "location": _dictionary(None, "hall")}),
    arrow(
        _GOOD | {"sensor_id": pa.array(_NAMES, pa.string_view()), "unit": pa.array(["", "x" * 300], pa.string_view())}
    ),
    arrow(_GOOD | {"sensor_id": pa.array(["", "x" * 300], pa.large_string())}),
    arrow(_GOOD | {"value": pa.array([Decimal("1.5"), None], pa.decimal128(9, 2))}),
    arrow(_GOOD | {"value": pa.array([1, -1], pa.int8()), "timestamp": pa.array(_TIMES, pa.uint64())}),
    arrow(_GOOD | {"value": pa.array([1.0, float("nan")], pa.float16())}),
    arrow(_GOOD | {"timestamp": pa.array(_MOMENTS, pa.timestamp("s", "UTC"))}),
    arrow(_GOOD | {"timestamp": pa.array(_MOMENTS, pa.timestamp("ns", "Europe/Berlin"))}),
    arrow(_GOOD | {"timestamp": pa.array([2**62, -(2**62)], pa.timestamp("s", "UTC"))}),
    arrow(_GOOD | {"timestamp": _TEXT_TIMES}),
    arrow(_GOOD | {"timestamp": _dictionary(*_TEXT_TIMES)}),
    arrow(_GOOD | {"seq": pa.array([None, 2**64 - 1], pa.uint64()), "label": ["normal", None]}),
    arrow(_GOOD | {"attributes": ['{"firmware": [1, {"a": null}]}', "[1]"]}),
    arrow(_GOOD | {"attributes": [{"a": 1}, None], "location": pa.nulls(2), "asset_id": [b"x", b"\xff"]}),
    arrow({name: pa.array([], kind) for name, kind in (("sensor_id", "string"), ("value", "f8"), ("timestamp", "i8"))}),
    arrow({"sensor_id": _NAMES}),
]
TOKENS = (*mutate.TOKENS, b"\xff\xff\xff\xff", b"ARROW1\0\0", b"\0" * 8, b"\xff" * 8, b"UTC", b"timestamp", b"value")


def check(data: bytes) -> str:
    """Always taken for Arrow."""
    return payloads.check(data if data.startswith((b"\xff\xff\xff\xff", b"ARROW1\0\0")) else b"\xff\xff\xff\xff" + data)
