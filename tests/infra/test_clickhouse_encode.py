"""Rows -> Arrow, without a server: what is taken, what is refused and how it is said."""

import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from infra.clickhouse.arrays import dictionary, texts
from infra.clickhouse.encode import merge, to_arrow
from operators.batches import NO_SEQ, ColumnData, Labels, Lists, Maps, Rows
from operators.records import TABLES


def column(table: str, name: str, data: ColumnData, length: int = 3) -> list[Any]:
    encoded = to_arrow(Rows(table, length, {name: data}))
    values: list[Any] = encoded.column(name).to_pylist()
    return values


CODES = np.array([2, 0, 1], np.int32)


def test_maps_and_lists_read_back_as_plain_rows() -> None:
    rows = Rows(
        "readings",
        2,
        {
            "sensor_id": Labels(np.array([1, 0], np.int32), ("a", "b")),
            "scores": Maps(("z", "g"), np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[True, True], [False, True]])),
            "flagged_by": Lists(("z", "g"), np.array([[False, True], [True, True]])),
            "generation": 0,
        },
    )
    assert rows.to_dicts() == [
        {"sensor_id": "b", "scores": {"z": 1.0, "g": 2.0}, "flagged_by": ["g"], "generation": 0},
        {"sensor_id": "a", "scores": {"g": 4.0}, "flagged_by": ["z", "g"], "generation": 0},
    ]


@pytest.mark.parametrize("data", [Labels(CODES, ("a", "ü", "a")), ["a", "a", "ü"], np.array(["a", "a", "ü"])])
def test_text_is_dictionary_encoded_and_the_dictionary_never_repeats(data: ColumnData) -> None:
    encoded = to_arrow(Rows("readings", 3, {"location": data})).column("location").chunk(0)
    assert sorted(encoded.to_pylist()) == ["a", "a", "ü"]
    # ClickHouse refuses (before 25.10: crashes on) a dictionary with repeated values.
    assert sorted(encoded.dictionary.to_pylist()) == ["a", "ü"]


def test_only_those_texts_travel_that_occur() -> None:
    many = [f"sensor-{i}" for i in range(1000)]
    encoded = dictionary(np.array([7, 7, 3]), many)
    assert (encoded.to_pylist(), len(encoded.dictionary)) == (["sensor-7", "sensor-7", "sensor-3"], 2)


def test_one_value_stands_for_all_rows() -> None:
    assert column("readings", "topic", "t") == ["t"] * 3
    assert column("readings", "attributes", "{}") == [b"{}"] * 3
    assert column("readings", "partition", 7) == [7] * 3
    assert column("readings", "stuck", False) == [False] * 3
    assert column("alert_actions", "action_id", "00000000-0000-0000-0000-000000000001")[2].endswith("1")


def test_nan_and_the_smallest_integer_are_null_where_null_is_allowed() -> None:
    assert column("windows", "mean", np.array([1.5, np.nan, -2.0])) == [1.5, None, -2.0]
    assert column("windows", "mean", [1.5, None, float("nan")]) == [1.5, None, None]
    assert column("readings", "seq", np.array([5, NO_SEQ, -1])) == [5, None, -1]
    assert column("readings", "seq", [5, None, -1]) == [5, None, -1]
    assert column("sensors", "interval_ms", np.array([1000.0, np.nan, 1.0])) == [1000, None, 1]
    ended = to_arrow(Rows("alerts", 2, {"ended_at": [None, 1_700_000_000_123]})).column("ended_at")
    assert ended.cast(pa.int64()).to_pylist() == [None, 1_700_000_000_123]


def test_nan_stays_where_null_is_not_allowed() -> None:
    scores = column("readings", "score", np.array([np.nan, 1.0, 2.0]))
    assert np.isnan(scores[0])
    assert scores[1:] == [1.0, 2.0]


def test_text_may_be_bytes_that_are_no_text() -> None:
    assert column("dead_letters", "payload", [b"\xff\x00", "ü", b""]) == [b"\xff\x00", "ü".encode(), b""]
    assert column("readings", "attributes", Labels(CODES, ("", "{}", "é"))) == ["é".encode(), b"", b"{}"]
    assert texts([], pa.string()).to_pylist() == []


def test_maps_and_lists() -> None:
    scores = Maps(("z", "g"), np.array([[1.0, np.nan], [3.0, 4.0], [5.0, 6.0]]))
    encoded = column("readings", "scores", scores)
    assert [[key for key, _ in row] for row in encoded] == [["z", "g"]] * 3
    assert np.isnan(encoded[0][1][1])
    some = Maps(("z", "g"), scores.values, np.array([[True, False], [False, False], [True, True]]))
    assert column("readings", "scores", some) == [[("z", 1.0)], [], [("z", 5.0), ("g", 6.0)]]
    assert column("windows", "extra", [{"a": 1.0}, {}, {"b": 2, "c": 3}]) == [[("a", 1)], [], [("b", 2), ("c", 3)]]
    none = Maps((), np.zeros((3, 0)))
    assert column("readings", "scores", none) == [[], [], []]
    assert column("readings", "flagged_by", Lists((), np.zeros((3, 0), np.bool_))) == [[], [], []]
    assert column("readings", "flagged_by", [["a"], [], ["b", "a"]]) == [["a"], [], ["b", "a"]]
    chosen = np.array([[True, False], [False, False], [True, True]])
    assert column("readings", "flagged_by", Lists(("z", "g"), chosen)) == [["z"], [], ["z", "g"]]


def test_arrays_of_any_layout() -> None:
    wide = np.arange(6, dtype=np.float64).reshape(3, 2)
    assert column("readings", "value", wide[:, 1]) == [1.0, 3.0, 5.0]
    assert column("readings", "stuck", np.array([True, False, True])[::-1]) == [True, False, True]
    assert column("windows", "count", np.array([1, 2, 3], np.int32)) == [1, 2, 3]
    assert column("readings", "value", np.array([1, 2, 3])) == [1.0, 2.0, 3.0]


def test_no_rows() -> None:
    rows = Rows("readings", 0, {"value": [], "sensor_id": [], "seq": np.zeros(0, np.int64), "topic": "t"})
    assert to_arrow(rows).num_rows == 0


@pytest.mark.parametrize(
    ("table", "name", "data", "said"),
    [
        ("nonsense", "value", [1.0] * 3, "no table 'nonsense': one of readings, "),
        ("readings", "nonsense", [1.0] * 3, "readings has no column 'nonsense': one of sensor_id, "),
        ("readings", "value", [1.0], "readings.value: 1 values for 3 rows"),
        ("readings", "value", [1.0, None, 2.0], "readings.value: 1 values are None, and the column takes no NULL"),
        ("readings", "value", "a", "readings.value: numbers expected, not str"),
        ("readings", "value", ["a", "b", "c"], "readings.value: a 1-D array of numbers expected"),
        ("readings", "value", np.zeros((3, 2)), "readings.value: a 1-D array of numbers expected"),
        ("readings", "topic", 7, "readings.topic: text expected, not int"),
        ("readings", "topic", ["a", None, "b"], "readings.topic: text expected, not NoneType"),
        ("readings", "topic", Labels(np.array([0, 1, 9], np.int32), ("a", "b")), "readings.topic: .*out of bounds"),
        ("readings", "scores", [1.0] * 3, "readings.scores: "),
        ("readings", "scores", Maps(("a", "a"), np.zeros((3, 2))), "readings.scores: .* all different"),
        ("readings", "flagged_by", Lists(("a",), np.zeros((3, 2), np.bool_)), "readings.flagged_by: .* as many names"),
        ("readings", "partition", np.array([0, 1, 2**40]), "readings.partition: .*"),
        ("windows", "count", np.array([0.5, 1.0, 2.0]), "windows.count: .*"),
        ("alert_actions", "action_id", ["a", "b", "c"], "alert_actions.action_id: .*UUID"),
    ],
)
def test_what_does_not_fit_is_named(table: str, name: str, data: ColumnData, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        to_arrow(Rows(table, 3, {name: data}))


def test_rows_need_a_column() -> None:
    with pytest.raises(ValueError, match="3 rows of events without a column"):
        to_arrow(Rows("events", 3))


def test_tables_merge_into_one_batch_with_one_dictionary() -> None:
    def rows(*names: str) -> pa.Table:
        return to_arrow(Rows("readings", len(names), {"sensor_id": list(names), "value": np.zeros(len(names))}))

    merged = merge([rows("a", "b"), rows("c"), rows("b", "a")])
    assert merged.column("sensor_id").to_pylist() == ["a", "b", "c", "b", "a"]
    assert merged.column("sensor_id").num_chunks == 1
    assert len(merged.column("sensor_id").chunk(0).dictionary) == 3


def test_every_column_type_of_the_schema_can_be_encoded() -> None:
    for table in TABLES.values():
        assert to_arrow(Rows(table.name, 0, {column.name: [] for column in table.columns})).num_rows == 0


def test_encoding_does_not_import_pandas() -> None:
    code = """
import sys, numpy as np
from infra.clickhouse.encode import merge, to_arrow
from infra.clickhouse.client import connect
from operators.batches import Labels, Maps, Rows
rows = Rows("readings", 1, {"sensor_id": ["a"], "seq": [None], "value": np.ones(1), "topic": "t", "time": 1,
    "scores": Maps(("z",), np.ones((1, 1))), "flagged_by": [["z"]], "attributes": "", "stuck": False})
merge([to_arrow(rows), to_arrow(rows)])
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
