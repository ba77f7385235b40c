"""Payloads for the tests of decoding and intake: single ones, and hypothesis messages with their truth."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from operators.batches import Messages
from operators.rejects import Reason

NOW_MS = 1_760_000_000_000
"""The time stamp of the Kafka messages, and about the event time of the readings."""


def reading(**fields: Any) -> bytes:
    """A good reading as JSON, unless `fields` spoil it; a field that is ... is left out."""
    sent = {"sensor_id": "s-1", "value": 21.5, "timestamp": NOW_MS} | fields
    return json.dumps({name: value for name, value in sent.items() if value is not ...}).encode()


def messages(*payloads: bytes | None, first_offset: int = 0, kafka_ms: int = NOW_MS) -> Messages:
    """Consecutive messages."""
    offsets = np.arange(first_offset, first_offset + len(payloads), dtype=np.int64)
    return Messages(list(payloads), offsets, np.full(len(payloads), kafka_ms, np.int64))


def arrow(columns: dict[str, Any], *, form: str = "stream", **options: Any) -> bytes:
    """An Arrow IPC payload of one record batch."""
    batch = pa.record_batch(columns)
    sink = pa.BufferOutputStream()
    make = pa.ipc.new_stream if form == "stream" else pa.ipc.new_file
    with make(sink, batch.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_batch(batch)
    payload: bytes = sink.getvalue().to_pybytes()
    return payload


SPOILT: tuple[tuple[Reason, bytes], ...] = (
    ("bad_json", b'{"sensor_id": "s-1", "value": 1'),
    ("bad_json", b"garbage"),
    ("bad_json", reading()[:-1] + b',"x":01}'),
    ("bad_json", reading() + reading()),
    ("bad_json", b'{"sensor_id": "a\\ud800", "value": 1, "timestamp": 1}'),
    ("bad_json", reading()[:-1] + b',"deep":' + b"[" * 50_000 + b"]" * 50_000 + b"}"),
    ("not_utf8", b"\x00\x80\x81"),
    ("not_utf8", b'{"sensor_id": "s\xff", "value": 1, "timestamp": 1}'),
    ("not_utf8", reading()[:-1] + b',"attributes":{"a":"\xff"}}'),
    ("not_finite", reading(value=float("nan"))),
    ("not_finite", reading(value=float("-inf"))),
    ("not_finite", b'{"sensor_id": "s-1", "value": 1e999, "timestamp": 1}'),
    ("wrong_type", b"7"),
    ("wrong_type", b'"text"'),
    ("wrong_type", reading(value=True)),
    ("wrong_type", reading(value="21.5")),
    ("wrong_type", reading(value=[1])),
    ("wrong_type", reading(sensor_id=7)),
    ("wrong_type", reading(timestamp=1.5)),
    ("wrong_type", reading(timestamp=True)),
    ("wrong_type", reading(seq="1")),
    ("wrong_type", reading(seq=2**63)),
    ("wrong_type", reading(unit=3)),
    ("wrong_type", reading(attributes=[1])),
    ("missing_field", b"{}"),
    ("missing_field", reading(sensor_id=...)),
    ("missing_field", reading(value=...)),
    ("missing_field", reading(timestamp=...)),
    ("missing_field", reading(value=None)),
    ("text_length", reading(sensor_id="")),
    ("text_length", reading(sensor_id="x" * 257)),
    ("text_length", reading(location="x" * 257)),
    ("timestamp_format", reading(timestamp="2025-10-09T08:53:20")),
    ("timestamp_format", reading(timestamp="yesterday")),
    ("timestamp_format", reading(timestamp=str(NOW_MS))),
    ("timestamp_unit", reading(timestamp=NOW_MS // 1000)),
    ("timestamp_unit", reading(timestamp=NOW_MS * 1000)),
    ("timestamp_unit", reading(timestamp=NOW_MS * 1_000_000)),
    ("timestamp_range", reading(timestamp=-1)),
    ("timestamp_range", reading(timestamp="1969-12-31T23:59:59Z")),
    ("timestamp_range", reading(timestamp=2**63)),
    ("clock_ahead", reading(timestamp=NOW_MS + 60_001)),
    ("clock_ahead", reading(timestamp=NOW_MS + 365 * 86_400_000)),
)
"""One element that must be refused, and why."""


@dataclass(frozen=True)
class Element:
    """What one element of a message must become: a reading, or a reject with its reason."""

    sensor_id: str = ""
    value: float = 0.0
    time_ms: int = 0
    seq: int | None = None
    reason: Reason | None = None


Truth = tuple[bytes | None, list[Element]]

_short = [(reason, payload) for reason, payload in SPOILT if len(payload) < 1000]
_good = st.builds(
    Element,
    sensor_id=st.sampled_from(["s-1", "s-2", "s-3", "Wärme"]),
    value=st.floats(-1e6, 1e6),
    time_ms=st.integers(NOW_MS - 100_000, NOW_MS),
    seq=st.none() | st.integers(0, 1000),
)
_bad = st.sampled_from(_short).map(lambda spoilt: (spoilt[1], Element(reason=spoilt[0])))


def _json(element: Element) -> bytes:
    seq = {} if element.seq is None else {"seq": element.seq}
    return reading(sensor_id=element.sensor_id, value=element.value, timestamp=element.time_ms, **seq)


_written = _good.map(lambda element: (_json(element), element))
# What breaks the syntax of an array refuses all that follows in it; that has its own test.
_parsable = [(reason, payload) for reason, payload in _short if reason not in ("bad_json", "not_utf8")]
_within_array = _written | st.sampled_from(_parsable).map(lambda spoilt: (spoilt[1], Element(reason=spoilt[0])))


def _array(pairs: list[tuple[bytes, Element]]) -> Truth:
    return b"[" + b" ,\n".join(payload for payload, _ in pairs) + b"]", [element for _, element in pairs]


def _ndjson(pairs: list[tuple[bytes, Element]]) -> Truth:
    return b"\n".join(payload for payload, _ in pairs) + b"\n", [element for _, element in pairs]


def _arrow(elements: list[Element]) -> Truth:
    columns = {
        "sensor_id": pa.array([None if e.reason else e.sensor_id for e in elements], pa.string()),
        "value": pa.array([e.value for e in elements], pa.float64()),
        "timestamp": pa.array([e.time_ms for e in elements], pa.int64()),
        "seq": pa.array([e.seq for e in elements], pa.int64()),
    }
    return arrow(columns), elements


_one_message: st.SearchStrategy[Truth] = st.one_of(
    _written.map(lambda pair: (pair[0], [pair[1]])),
    _bad.map(lambda pair: (pair[0], [pair[1]])),
    st.just((None, [Element(reason="null_payload")])),
    st.sampled_from([b"", b" \n "]).map(lambda payload: (payload, [Element(reason="empty_payload")])),
    st.lists(_within_array, max_size=5).map(_array),
    st.tuples(st.lists(_written | _bad, max_size=4), _written, _written | _bad)
    .map(lambda parts: [*parts[0], parts[1], parts[2]])
    .map(_ndjson),
    st.lists(_good | st.just(Element(reason="missing_field")), max_size=5).map(_arrow),
)

truths = st.lists(_one_message, max_size=20)
"""Messages of one partition, each with what its elements must become."""
