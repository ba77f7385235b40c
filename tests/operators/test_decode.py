"""Decoding: every good reading comes out, every bad one is refused with its reason and nothing else is."""

import json

import numpy as np
import pytest
from hypothesis import given, settings

from operators import decode as decode_module
from operators.batches import NO_SEQ, Messages, Series
from operators.decode import Decoded, decode
from operators.registry import Registry, SensorInfo, TypeInfo
from operators.rejects import KEPT_BYTES, REASONS, to_rows
from operators.series_codes import SeriesCodes
from tests.operators.payloads import NOW_MS, SPOILT, Truth, arrow, messages, reading, truths


def decoded(
    *payloads: bytes | None,
    codes: SeriesCodes | None = None,
    kafka_ms: int = NOW_MS,
    max_payload_bytes: int = 1_000_000,
) -> Decoded:
    batch = messages(*payloads, kafka_ms=kafka_ms)
    if codes is None:
        codes = SeriesCodes(Registry())
    return decode(batch, codes, max_payload_bytes=max_payload_bytes, max_ahead_ms=60_000)


def reasons(result: Decoded) -> list[tuple[int, int, str]]:
    return [(reject.message, reject.idx, reject.fault.reason) for reject in result.rejects]


def where(result: Decoded) -> list[tuple[int, int]]:
    return list(zip(result.message.tolist(), result.idx.tolist(), strict=True))


def test_single_readings_become_columns() -> None:
    codes = SeriesCodes(Registry())
    result = decoded(
        reading(sensor_type="co2", location="lab", asset_id="hood", unit="ppm", value=3),
        reading(value=-0.5, timestamp=NOW_MS - 7),
        reading(sensor_type="co2", location="lab", asset_id="hood", unit="ppm"),
        codes=codes,
    )
    assert where(result) == [(0, 0), (1, 0), (2, 0)]
    assert [codes.series.values[code] for code in result.code] == [
        Series("s-1", "co2", "lab", "hood", "ppm"),
        Series("s-1"),
        Series("s-1", "co2", "lab", "hood", "ppm"),
    ]
    assert result.value.tolist() == [3.0, -0.5, 21.5]
    assert result.time_ms.tolist() == [NOW_MS, NOW_MS - 7, NOW_MS]
    assert (result.seq, result.attributes, result.label, result.rejects) == (None, None, None, [])


def test_what_is_rarely_sent_keeps_to_its_rows() -> None:
    plain = [reading()] * 600  # more than the decoder takes at a time
    result = decoded(
        *plain,
        reading(seq=5),
        reading(label="spike", attributes={"fw": "1.2", "n": [1]}),
        reading(attributes=None, seq=None),
        *plain,
    )
    assert result.seq is not None
    assert np.flatnonzero(result.seq != NO_SEQ).tolist() == [600]
    assert result.seq[600] == 5
    assert result.label is not None
    assert [(i, text) for i, text in enumerate(result.label.tolist()) if text] == [(601, "spike")]
    assert result.attributes is not None
    assert len(result.attributes) == len(result.value) == 1203
    assert [(i, json.loads(text)) for i, text in enumerate(result.attributes) if text] == [
        (601, {"fw": "1.2", "n": [1]})
    ]


@pytest.mark.parametrize(("reason", "payload"), SPOILT, ids=[f"{r}-{p[:40]!r}" for r, p in SPOILT])
def test_a_bad_payload_is_refused_alone(reason: str, payload: bytes) -> None:
    result = decoded(reading(), payload, reading())
    assert reasons(result) == [(1, 0, reason)]
    assert result.rejects[0].payload == payload
    assert result.rejects[0].fault.detail
    assert where(result) == [(0, 0), (2, 0)]


def test_the_examples_cover_the_vocabulary() -> None:
    elsewhere = {"null_payload", "empty_payload", "too_large", "bad_arrow", "unknown_type"}
    elsewhere |= {"unknown_schema", "bad_schema", "schema_mismatch"}
    assert {reason for reason, _ in SPOILT} | elsewhere == set(REASONS)


def test_null_empty_and_large_payloads_are_refused() -> None:
    long = reading(attributes={"x": "y" * 200})
    result = decoded(None, b"", b" \r\n\t", long, reading(), max_payload_bytes=100)
    assert reasons(result) == [
        (0, 0, "null_payload"),
        (1, 0, "empty_payload"),
        (2, 0, "empty_payload"),
        (3, 0, "too_large"),
    ]
    assert result.rejects[3].fault.detail == (
        f"{len(long)} bytes, more than kafka.max_payload_bytes = 100; split the message or raise the limit"
    )


def test_details_say_which_field_and_what_was_found() -> None:
    result = decoded(reading(value="hot"), reading(timestamp=NOW_MS // 1000), reading(timestamp="2025-10-09T08:53:20"))
    assert [reject.fault.detail for reject in result.rejects] == [
        "value: expected `float`, got `str`",
        "timestamp: 1760000000 looks like seconds; send epoch milliseconds",
        "timestamp: '2025-10-09T08:53:20' has no offset; end it with Z for UTC, or with an offset such as +02:00",
    ]


def test_unknown_fields_are_ignored_and_of_repeated_ones_the_last_counts() -> None:
    result = decoded(reading(firmware={"a": [1, {}]}), b'{"value":1,"sensor_id":"a","timestamp":1,"value":2}')
    assert result.value.tolist() == [21.5, 2.0]


def test_a_pretty_printed_object_is_one_reading() -> None:
    pretty = json.dumps({"sensor_id": "a", "value": 1, "timestamp": NOW_MS, "attributes": {"k": {}}}, indent=2).encode()
    late = pretty.replace(str(NOW_MS).encode(), b"-5")
    result = decoded(pretty, late, b"\n" + pretty + b"\n")
    assert where(result) == [(0, 0), (2, 0)]
    assert reasons(result) == [(1, 0, "timestamp_range")]
    assert result.rejects[0].payload == late


def test_a_broken_pretty_printed_object_is_one_reject() -> None:
    pretty = json.dumps({"sensor_id": "a", "value": 1, "timestamp": NOW_MS}, indent=2).encode()
    assert reasons(decoded(pretty[:-1], pretty.replace(b"1,", b'"1",'))) == [(0, 0, "bad_json"), (1, 0, "wrong_type")]


def test_two_halves_in_two_messages_are_no_reading() -> None:
    halves = b'{"sensor_id":"a",', b'"value":1,"timestamp":1}' + reading()
    result = decoded(*halves)
    assert len(result.value) == 0
    assert reasons(result) == [(0, 0, "bad_json"), (1, 0, "bad_json")]


def test_array_elements_are_refused_one_by_one() -> None:
    payload = b'  [%s, %s,3,[], {"x":NaN} ,%s]\n' % (reading(value=1), reading(value="x"), reading(value=2))
    result = decoded(payload)
    assert where(result) == [(0, 0), (0, 5)]
    assert result.value.tolist() == [1, 2]
    assert reasons(result) == [(0, 1, "wrong_type"), (0, 2, "wrong_type"), (0, 3, "wrong_type"), (0, 4, "not_finite")]
    assert [reject.payload for reject in result.rejects] == [reading(value="x"), b"3", b"[]", b'{"x":NaN}']


def test_of_a_broken_array_the_whole_elements_stay() -> None:
    one = reading()
    cut, unclosed, trailing = b"[%s,%s" % (one, one[:-9]), b"[%s,%s" % (one, one), b"[%s]%s" % (one, one)
    result = decoded(cut, unclosed, trailing, b"[%s,]" % one, b"[%s %s]" % (one, one))
    assert where(result) == [(0, 0), (1, 0), (1, 1), (2, 0), (3, 0), (4, 0)]
    assert reasons(result) == [
        (0, 1, "bad_json"),
        (1, 2, "bad_json"),
        (2, 1, "bad_json"),
        (3, 1, "bad_json"),
        (4, 1, "bad_json"),
    ]
    assert result.rejects[0].payload == one[:-9]


def test_an_empty_array_holds_nothing() -> None:
    result = decoded(b"[]", b" [ ] ")
    assert len(result.value) == len(result.rejects) == 0


def test_a_faulty_time_in_an_array_names_its_element() -> None:
    wrong = reading(timestamp=NOW_MS + 10**9)
    result = decoded(b"[%s,%s]" % (reading(), wrong), b"[%s]" % wrong)
    assert reasons(result) == [(0, 1, "clock_ahead"), (1, 0, "clock_ahead")]
    assert [reject.payload for reject in result.rejects] == [wrong, wrong]


def test_lines_are_refused_one_by_one() -> None:
    payload = b"\r\n".join([reading(value=1), b"oops", b"", b"[1]", reading(timestamp=-1), reading(value=2)])
    result = decoded(payload)
    assert where(result) == [(0, 0), (0, 4)]
    assert reasons(result) == [(0, 1, "bad_json"), (0, 2, "wrong_type"), (0, 3, "timestamp_range")]


def test_a_message_of_too_many_elements_is_refused_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_module, "MAX_ELEMENTS", 1000)
    many = 1001
    rows = arrow(
        {"sensor_id": ["a"] * many, "value": np.zeros(many), "timestamp": np.zeros(many, np.int64)}, compression="zstd"
    )
    result = decoded(b"[" + b"1," * 1000 + b"1]", b"{}\n" * many, rows)
    assert reasons(result) == [(0, 0, "too_large"), (1, 0, "too_large"), (2, 0, "too_large")]


def test_readings_complete_themselves_from_the_registry() -> None:
    registry = Registry({"s-1": SensorInfo("co2", "lab")}, {"co2": TypeInfo("ppm")})
    codes = SeriesCodes(registry)
    result = decoded(reading(), reading(location="hall"), reading(sensor_id="new"), codes=codes)
    assert [codes.series.values[code] for code in result.code] == [
        Series("s-1", "co2", "lab", "", "ppm"),
        Series("s-1", "co2", "hall", "", "ppm"),
        Series("new"),
    ]


def test_unknown_types_are_refused_where_configured() -> None:
    codes = SeriesCodes(Registry({"known": SensorInfo("co2")}, {"heat": TypeInfo()}, unknown_types="refuse"))
    result = decoded(
        reading(sensor_type="heat"), reading(sensor_type="noise"), reading(), reading(sensor_id="known"), codes=codes
    )
    assert where(result) == [(0, 0), (3, 0)]
    assert reasons(result) == [(1, 0, "unknown_type"), (2, 0, "unknown_type")]
    assert "'noise'" in result.rejects[0].fault.detail


def test_dead_letter_rows_keep_the_payload_readable_and_bounded() -> None:
    batch = Messages([b"\xfe" * 10, b"x" * 100_000, None], np.array([7, 8, 9]), np.array([NOW_MS, NOW_MS, -1]))
    result = decode(batch, SeriesCodes(Registry()), max_payload_bytes=1_000_000, max_ahead_ms=0)
    rows = to_rows(result.rejects, batch, topic="t", partition=3).to_dicts()
    assert [(row["topic"], row["partition"], row["offset"], row["idx"]) for row in rows] == [
        ("t", 3, 7, 0),
        ("t", 3, 8, 0),
        ("t", 3, 9, 0),
    ]
    assert [row["reason"] for row in rows] == ["not_utf8", "bad_json", "null_payload"]
    assert [row["payload"] for row in rows] == ["\\xfe" * 10, "x" * KEPT_BYTES, ""]
    assert [row["payload_bytes"] for row in rows] == [10, 100_000, 0]
    assert [row["kafka_time"] for row in rows] == [NOW_MS, NOW_MS, 0]


@settings(max_examples=80)
@given(truths)
def test_every_element_comes_out_once_in_order(sent: list[Truth]) -> None:
    codes = SeriesCodes(Registry())
    result = decoded(*(payload for payload, _ in sent), codes=codes)
    elements = [(n, i, element) for n, (_, found) in enumerate(sent) for i, element in enumerate(found)]
    good = [(n, i, e.sensor_id, e.value, e.time_ms, e.seq) for n, i, e in elements if e.reason is None]
    seq = (
        [None] * len(result.value) if result.seq is None else [None if s == NO_SEQ else s for s in result.seq.tolist()]
    )
    ids = [codes.series.values[code].sensor_id for code in result.code.tolist()]
    values, times = result.value.tolist(), result.time_ms.tolist()
    assert list(zip(*zip(*where(result), strict=True), ids, values, times, seq, strict=True)) == good or not good
    assert len(result.value) == len(good)
    assert reasons(result) == [(n, i, e.reason) for n, i, e in elements if e.reason]
