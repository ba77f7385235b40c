"""A file to replay: rows, rows that are refused, or one line that says why it cannot be read.

The first byte chooses the format, in capitals gzipped.
"""

import gzip
import io
import json
from contextlib import closing
from itertools import islice

import pyarrow as pa
import pyarrow.parquet

from infra.simulate.files import ReplayError, Row, rows
from infra.simulate.replay import Replay
from tests.fuzz.files import judge, written

_SUFFIXES = {b"c": ".csv", b"t": ".tsv", b"j": ".jsonl", b"p": ".parquet"}
_MOST_ROWS = 10_000
_CSV = (
    b'timestamp,value,label\n2026-01-31T12:00:00Z,1.5,0\n"2026-01-31 12:00:01",,1\n1769860802,x\n\n1769860803000,-1,0\n'
)
_JSONL = b'{"timestamp": 1769860800000, "sensor_id": "a", "value": 1.5, "label": true}\n[]\nx\n{"time": "2026-01-31"}\n'


def _parquet() -> bytes:
    sink = io.BytesIO()
    times = pa.array([1769860800_000_000_001, None], pa.timestamp("ns", "UTC"))
    pyarrow.parquet.write_table(pa.table({"ts": times, "a": [1.5, 2.0], "b": ["x", None]}), sink)
    return sink.getvalue()


SEEDS = [
    b"c" + _CSV,
    b"t" + _CSV.replace(b",", b"\t"),
    b"j" + _JSONL,
    b"p" + _parquet(),
    b"C" + gzip.compress(_CSV),
    b"J" + gzip.compress(_JSONL),
    b"P" + gzip.compress(_parquet()),
]
TOKENS = (
    *(
        b"1769860800",
        b"1769860800000000000",
        b"1e19",
        b"-1e19",
        b"nan",
        b"inf",
        b"0001-01-01T00:00:00+14:00",
        b"2026-01-31",
    ),
    *(
        b"9999-12-31T23:59:59-14:00",
        b"timestamp",
        b"value",
        b"sensor_id",
        b'"',
        b"\n",
        b"\r",
        b",",
        b"\xff",
        b"\0",
        b";",
    ),
    *(b"[" * 2_000, b'{"a":' * 2_000, b"1" * 400, b"\xef\xbb\xbf", b"\\ud800", b"a" * 70_000, b"\xe2\x80\xa8", b"PAR1"),
)


def check(data: bytes) -> str:
    """AssertionError when a mistake is not told as people can use it."""
    first, content = data[:1], data[1:]
    suffix = _SUFFIXES.get(first.lower(), ".csv")
    file = written(content, suffix + ".gz" if first.isupper() else suffix)
    good = 0
    try:
        with closing(rows(file)) as reader:
            for row in islice(reader, _MOST_ROWS):
                good += isinstance(row, Row)
                assert row.line >= 1
        replay = Replay([file])
        for message in islice(replay.messages(), _MOST_ROWS):
            json.loads(message[1])
    except ReplayError as error:
        judge(error, file)
        return "refused"
    return "read" if good else "nothing"
