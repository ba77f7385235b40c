"""Each format gives the rows as they stand in the file, and says which rows are none."""

import gzip
import random
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from infra.simulate.files import ReplayError, Row, Unreadable, rows, stem

Write = Callable[[str, bytes], Path]


@pytest.fixture(params=["", ".gz"], ids=["plain", "gz"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    def write(name: str, content: bytes) -> Path:
        path: Path = tmp_path / (name + request.param)
        path.write_bytes(gzip.compress(content) if request.param else content)
        return path

    return write


def test_csv_cells_are_text_as_written(write: Write) -> None:
    path = write("a.csv", b'\xef\xbb\xbftime,value,note\n2020-01-01,007,"x, ""y"""\n2020-01-02,1.50,\n')
    assert list(rows(path)) == [
        Row(2, {"time": "2020-01-01", "value": "007", "note": 'x, "y"'}),
        Row(3, {"time": "2020-01-02", "value": "1.50", "note": ""}),
    ]


@pytest.mark.parametrize(("name", "mark"), [("a.csv", ";"), ("a.tsv", "\t"), ("a.txt", "|"), ("A.CSV", ",")])
def test_the_header_shows_the_delimiter(write: Write, name: str, mark: str) -> None:
    path = write(name, f't{mark}"a,a;a"{mark}b\n1{mark}2{mark}3\n'.encode())
    assert list(rows(path)) == [Row(2, {"t": "1", "a,a;a": "2", "b": "3"})]


def test_ragged_csv_rows_are_told_with_their_line(write: Write) -> None:
    good = b"2020-01-01,1\n"
    path = write("a.csv", b"t,v\n1\n" + good + b"\n" + good * 3 + b"1,2,3\n" + good * 20_000 + b"4,5,6")
    found = list(rows(path))
    assert [row for row in found if isinstance(row, Unreadable)] == [
        Unreadable(2, "has 1 columns, the header has 2"),
        Unreadable(8, "has 3 columns, the header has 2"),
        Unreadable(20_009, "has 3 columns, the header has 2"),
    ]
    assert [row.line for row in found] == [2, 3, *range(5, 20_010)], "in order, the blank line left out"


def test_a_ragged_row_that_is_not_utf8_refuses_that_row_alone(write: Write) -> None:
    path = write("a.csv", b"t,v\n1,2,caf\xe9\n3,4\n")
    assert list(rows(path)) == [Unreadable(2, "has 3 columns, the header has 2"), Row(3, {"t": "3", "v": "4"})]


def test_bytes_that_are_not_utf8_stay_visible(write: Write) -> None:
    path = write("a.csv", b"t,v\n1,caf\xe9\n")
    assert list(rows(path)) == [Row(2, {"t": "1", "v": "caf\ufffd"})]


def test_jsonl(write: Write) -> None:
    path = write(
        "a.jsonl", b'\xef\xbb\xbf{"t":1,"v":2.5}\n\n[1]\n{"t":\n{"t":"x","w":null}\n' + b" " * 2_000_000 + b"\n{}"
    )
    found = list(rows(path))
    assert found[0] == Row(1, {"t": 1, "v": 2.5})
    assert found[1] == Unreadable(3, "not a JSON object")
    assert isinstance(found[2], Unreadable)
    assert found[2].reason.startswith("not JSON: ")
    assert found[3] == Row(5, {"t": "x", "w": None})
    assert found[4] == Unreadable(6, "longer than 1048576 bytes")
    assert found[5] == Row(7, {})


def test_parquet(write: Write, tmp_path: Path) -> None:
    table = pa.table(
        {
            "t": pa.array([1_372_896_000_000_000_999, None], pa.timestamp("ns", "Europe/Berlin")),
            "v": pa.array([Decimal("1.5"), Decimal("2.5")]),
            "s": pa.array(["a", "b"]).dictionary_encode(),
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "made")
    first, second = rows(write("a.parquet", (tmp_path / "made").read_bytes()))
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    assert first.cells == {"t": datetime(2013, 7, 4, tzinfo=UTC), "v": Decimal("1.5"), "s": "a"}
    assert (second.line, second.cells["t"]) == (2, None)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_an_empty_file_has_no_rows(write: Write, name: str) -> None:
    assert list(rows(write(name, b""))) == []


def test_columns_may_be_called_by_numbers(write: Write) -> None:
    assert list(rows(write("a.csv", b"t,1,2\n2020-01-01,5,6\n"))) == [Row(2, {"t": "2020-01-01", "1": "5", "2": "6"})]


def test_a_csv_header_alone_has_no_rows(write: Write) -> None:
    assert list(rows(write("a.csv", b"t,v\n"))) == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xlsx", b"", "a.xlsx.*: not a known format; known are .csv"),
        ("a.csv", b"t,v,v,t\n1,2,3,4\n", "several columns are called 't', 'v'; rename them"),
        ("a.csv", b"2020-01-01 00:00:00,a\n2020-01-02,2\n", "the first line holds data; put a line with the names"),
        ("a.csv", b"1577836800,1.5\n1577836801,2\n", "the first line holds data"),
        ("a.parquet", b"no parquet", "a.parquet.*: cannot be read: "),
        ("a.csv", b"t,\xff\n1,2\n", "a.csv.*: cannot be read: "),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(write: Write, name: str, content: bytes, message: str) -> None:
    with pytest.raises(ReplayError, match=message) as caught:
        list(rows(write(name, content)))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match=r"b\.csv: no such file"):
        list(rows(tmp_path / "b.csv"))


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz"])
def test_a_file_that_was_cut_is_an_error(tmp_path: Path, name: str) -> None:
    lines = (f'{{"t":{i},"v":{i * 7919}}}' if "json" in name else f"{i},{i * 7919}" for i in range(50_000))
    whole = gzip.compress("\n".join(["{}", *lines]).encode(), compresslevel=1)
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ReplayError, match=f"{name}: cannot be read"):
        list(rows(tmp_path / name))


def test_rows_are_read_as_they_are_needed(write: Write) -> None:
    path = write("a.jsonl", b'{"t":1}\n' + random.Random(1).randbytes(5_000_000))
    with closing(rows(path)) as reader:
        next(reader)
        tracemalloc.start()
        for _ in range(100):
            next(reader)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak_bytes < 2_000_000


def test_a_file_may_be_left_early(write: Write) -> None:
    path = write("a.csv", b"t,v\n" + b"1,2\n" * 300_000)
    with closing(rows(path)) as reader:
        assert next(reader) == Row(2, {"t": "1", "v": "2"})


def test_stem() -> None:
    assert [stem(Path(name)) for name in ("x/a.csv", "a.v2.csv.gz", "b.Parquet")] == ["a", "a.v2", "b"]
