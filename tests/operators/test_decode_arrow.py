"""Arrow IPC payloads: whatever the writer's types, the same readings; broken or hostile ones are refused."""

import json
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from operators import decode_arrow
from operators.batches import NO_SEQ, Series
from operators.decode import Decoded, decode
from operators.registry import Registry
from operators.series_codes import SeriesCodes
from tests.operators.payloads import NOW_MS, arrow, messages, reading

GOOD: dict[str, Any] = {"sensor_id": ["a", "b"], "value": [1.5, 2.0], "timestamp": [NOW_MS, NOW_MS + 1]}


def decoded(*payloads: bytes) -> tuple[Decoded, list[Series]]:
    codes = SeriesCodes(Registry())
    result = decode(messages(*payloads), codes, max_payload_bytes=1_000_000, max_ahead_ms=60_000)
    return result, [codes.series.values[code] for code in result.code]


def reasons(result: Decoded) -> list[tuple[int, int, str]]:
    return [(reject.message, reject.idx, reject.fault.reason) for reject in result.rejects]


@pytest.mark.parametrize("form", ["stream", "file"])
@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_streams_and_files_are_read(form: str, compression: str | None) -> None:
    payload = arrow(GOOD | {"unit": ["K", None]}, form=form, compression=compression)
    result, series = decoded(reading(), payload, reading())
    assert list(zip(result.message, result.idx, strict=True)) == [(0, 0), (1, 0), (1, 1), (2, 0)]
    assert series[1:3] == [Series("a", unit="K"), Series("b")]
    assert result.value.tolist() == [21.5, 1.5, 2.0, 21.5]
    assert result.time_ms.tolist() == [NOW_MS, NOW_MS, NOW_MS + 1, NOW_MS]
    assert result.rejects == []


@pytest.mark.parametrize(
    "ids",
    [
        pa.array(["a", "b"], pa.large_string()),
        pa.array(["a", "b"], pa.string_view()),
        pa.array(["a", "b"]).dictionary_encode(),
        pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.uint8()), pa.array(["b", "a"], pa.large_string())),
    ],
    ids=lambda array: str(array.type),
)
@pytest.mark.parametrize("number", [pa.float32(), pa.int16(), pa.uint64(), pa.decimal128(20, 1)], ids=str)
def test_all_kinds_of_text_and_numbers_are_taken(ids: Any, number: Any) -> None:
    result, series = decoded(arrow(GOOD | {"sensor_id": ids, "value": pa.array([1, 2]).cast(number)}))
    assert series == [Series("a"), Series("b")]
    assert result.value.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "stamps",
    [
        pa.array([NOW_MS, NOW_MS + 1], pa.uint64()),
        pa.array([NOW_MS, NOW_MS + 1], pa.timestamp("ms", "UTC")),
        pa.array([NOW_MS * 1000 + 999, NOW_MS * 1000 + 1000], pa.timestamp("us", "Europe/Berlin")),
        pa.array([NOW_MS * 10**6, NOW_MS * 10**6 + 1_999_999], pa.timestamp("ns", "+02:00")),
        pa.array(["2025-10-09T08:53:20Z", "2025-10-09T10:53:20.001+02:00"]),
        pa.array(["2025-10-09T08:53:20Z", "2025-10-09T10:53:20.001+02:00"]).dictionary_encode(),
    ],
    ids=lambda array: str(array.type),
)
def test_all_kinds_of_times_are_taken(stamps: Any) -> None:
    result, _ = decoded(arrow(GOOD | {"timestamp": stamps}))
    assert result.time_ms.tolist() == [NOW_MS, NOW_MS + 1]


def test_seconds_typed_as_such_are_scaled() -> None:
    stamps = pa.array([NOW_MS // 1000, 2**62], pa.timestamp("s", "UTC"))
    result, _ = decoded(arrow(GOOD | {"timestamp": stamps}))
    assert result.time_ms.tolist() == [NOW_MS]
    assert reasons(result) == [(0, 1, "timestamp_range")]


def test_what_is_rarely_sent_comes_along() -> None:
    columns = GOOD | {
        "seq": [None, 7],
        "label": ["normal", None],
        "attributes": [None, '{"k": 1}'],
        "extra": [[1], [2]],
    }
    result, _ = decoded(reading(label="spike"), arrow(columns), reading(seq=9))
    assert result.seq is not None
    assert result.seq.tolist() == [NO_SEQ, NO_SEQ, 7, 9]
    assert result.label is not None
    assert result.label.tolist() == ["spike", "normal", "", ""]
    assert result.attributes == ["", "", '{"k": 1}', ""]


def test_rows_are_refused_one_by_one() -> None:
    ids = ["a", None, "", "x" * 257, "a", "a", "a", "a", "a", "a"]
    values = [1.0, 1.0, 1.0, 1.0, None, float("nan"), 1.0, 1.0, 1.0, 2.0]
    stamps = [NOW_MS] * 6 + [None, NOW_MS // 1000, NOW_MS + 10**9, NOW_MS]
    result, series = decoded(arrow({"sensor_id": ids, "value": values, "timestamp": stamps}))
    assert result.idx.tolist() == [0, 9]
    assert series == [Series("a"), Series("a")]
    assert reasons(result) == [
        (0, 1, "missing_field"),
        (0, 2, "text_length"),
        (0, 3, "text_length"),
        (0, 4, "missing_field"),
        (0, 5, "not_finite"),
        (0, 6, "missing_field"),
        (0, 7, "timestamp_unit"),
        (0, 8, "clock_ahead"),
    ]
    assert json.loads(result.rejects[0].payload) == {"sensor_id": None, "value": 1.0, "timestamp": NOW_MS}


def test_texts_at_fault_are_refused_by_row() -> None:
    columns = GOOD | {"timestamp": ["2025-10-09T08:53:20", None]}
    assert reasons(decoded(arrow(columns))[0]) == [(0, 0, "timestamp_format"), (0, 1, "missing_field")]
    columns = GOOD | {"attributes": ["[1]", '{"k":']}
    assert reasons(decoded(arrow(columns))[0]) == [(0, 0, "wrong_type"), (0, 1, "wrong_type")]


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        ({"value": None}, "missing_field", "value: there is no such column"),
        ({"value": ["1", "2"]}, "wrong_type", "value: expected a column of numbers, got string"),
        ({"value": [True, False]}, "wrong_type", "value: expected a column of numbers, got bool"),
        ({"sensor_id": [1, 2]}, "wrong_type", "sensor_id: expected a column of text, got int64"),
        ({"seq": [1.0, 2.0]}, "wrong_type", "seq: expected a column of integers, got double"),
        ({"timestamp": [1.0, 2.0]}, "wrong_type", "timestamp: expected a column of integers"),
        (
            {"timestamp": pa.array([1, 2], pa.timestamp("ms"))},
            "timestamp_format",
            "timestamp: the column has no time zone",
        ),
    ],
)
def test_faults_of_the_schema_refuse_the_message(change: dict[str, Any], reason: str, detail: str) -> None:
    columns = {name: values for name, values in (GOOD | change).items() if values is not None}
    result, _ = decoded(arrow(columns))
    assert reasons(result) == [(0, 0, reason)]
    assert result.rejects[0].fault.detail.startswith(detail)


def test_no_rows_are_no_readings() -> None:
    empty = {
        "sensor_id": pa.array([], pa.string()),
        "value": pa.array([], pa.float64()),
        "timestamp": pa.array([], pa.int64()),
    }
    result, _ = decoded(arrow(empty))
    assert len(result.value) == len(result.rejects) == 0


def test_what_unfolds_too_far_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_arrow, "MAX_UNFOLDED_BYTES", 100_000)
    packed = GOOD | {"extra": pa.array(["x" * 100_000, ""])}
    # Six views of one text: 20 kB of payload, 120 kB of text.
    _, view, text = pa.array(["x" * 20_000], pa.string_view()).buffers()
    ids = pa.Array.from_buffers(pa.string_view(), 6, [None, pa.py_buffer(view.to_pybytes()[:16] * 6), text])
    views = {"sensor_id": ids, "value": [1.0] * 6, "timestamp": [NOW_MS] * 6}
    payloads = arrow(packed, compression="zstd"), arrow(views)
    assert all(len(payload) < 30_000 for payload in payloads)
    result, _ = decoded(*payloads)
    assert reasons(result) == [(0, 0, "too_large"), (1, 0, "too_large")]


def test_damaged_payloads_are_answered_never_raised() -> None:
    rng = random.Random(7)
    columns = GOOD | {"timestamp": pa.array([NOW_MS, None], pa.timestamp("ms", "UTC")), "label": ["normal", None]}
    originals = [
        arrow(columns, form=form, compression=codec) for form in ("stream", "file") for codec in (None, "zstd")
    ]
    for _ in range(1500):
        damaged = bytearray(rng.choice(originals))
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        result, _ = decoded(bytes(damaged[: rng.choice([len(damaged), rng.randrange(len(damaged))])]))
        assert np.isfinite(result.value).all()
        assert len(result.value) + len(result.rejects) <= 2


def test_a_cut_payload_says_what_is_wrong() -> None:
    result, _ = decoded(arrow(GOOD)[:200], b"ARROW1\0\0", b"\xff\xff\xff\xff")
    assert reasons(result) == [(0, 0, "bad_arrow"), (1, 0, "bad_arrow"), (2, 0, "bad_arrow")]
    assert result.rejects[0].fault.detail.startswith("not readable Arrow IPC: ")
