"""The embedded endpoint keeps the contract of ClickHouse's HTTP interface, as clickhouse-connect and curl use it."""

import gzip
import json
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from clickhouse_connect import get_client
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_connect.driver.summary import QuerySummary

from infra.embedded.clickhouse import EmbeddedClickHouse

ROWS = 1_000
COLUMNS = """
    id Int64, sensor LowCardinality(String), scores Map(LowCardinality(String), Float32),
    flagged_by Array(LowCardinality(String)), value Nullable(Float64), time DateTime64(3, 'UTC'), late Bool
"""


@pytest.fixture
def client(clickhouse: EmbeddedClickHouse, database: str) -> Iterator[Client]:
    client = get_client(host="127.0.0.1", port=clickhouse.port, database=database)
    yield client
    client.close()


@pytest.fixture
def http(clickhouse: EmbeddedClickHouse) -> Iterator[HTTPConnection]:
    connection = HTTPConnection("127.0.0.1", clickhouse.port, timeout=30)
    yield connection
    connection.close()


def readings(rows: int = ROWS) -> pa.Table:
    """A table of every kind of column that streamgauge stores."""
    return pa.table(
        {
            "id": pa.array(range(rows), pa.int64()),
            "sensor": pa.array([f"s{i % 7}" for i in range(rows)]).dictionary_encode(),
            "scores": pa.array([[("z", i / 2)] for i in range(rows)], pa.map_(pa.string(), pa.float32())),
            "flagged_by": pa.array([["z"] if i % 2 else [] for i in range(rows)], pa.list_(pa.string())),
            "value": pa.array([None if i % 5 == 0 else i / 4 for i in range(rows)], pa.float64()),
            "time": pa.array(range(rows), pa.timestamp("ms", "UTC")),
            "late": pa.array([i % 3 == 0 for i in range(rows)]),
        }
    )


def test_an_arrow_table_comes_back_as_it_went_in(client: Client) -> None:
    client.command(f"CREATE TABLE t ({COLUMNS}) ENGINE = MergeTree ORDER BY id")
    table = readings()
    summary = client.insert_arrow("t", table)
    assert summary.written_rows == ROWS
    assert client.query_arrow("SELECT * FROM t ORDER BY id").to_pylist() == table.to_pylist()


def test_native_rows_come_back_as_they_went_in(client: Client) -> None:
    client.command(f"CREATE TABLE t ({COLUMNS}) ENGINE = MergeTree ORDER BY id")
    client.insert_arrow("t", readings())
    rows = client.query("SELECT * FROM t ORDER BY id").result_rows
    client.command("TRUNCATE TABLE t")
    assert client.insert("t", rows).written_rows == ROWS
    assert client.query("SELECT * FROM t ORDER BY id").result_rows == rows
    assert rows[1][:5] == (1, "s1", {"z": 0.5}, ["z"], 0.25)


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
def test_large_inserts_and_results_are_whole_in_every_compression(
    clickhouse: EmbeddedClickHouse, database: str, compress: str | bool
) -> None:
    """Several blocks, so several frames of a compressed body: reading the first one only would lose rows silently."""
    rows = 600_000
    client = get_client(host="127.0.0.1", port=clickhouse.port, database=database, compress=compress)
    client.command("CREATE TABLE t (id Int64, value Float64) ENGINE = MergeTree ORDER BY id")
    ids = np.arange(rows)
    columns: list[Any] = [ids, ids / 8]
    native = client.insert("t", columns, column_names=["id", "value"], column_oriented=True)
    arrow = client.insert_arrow("t", pa.table({"id": ids + rows, "value": ids / 8}))
    assert (native.written_rows, arrow.written_rows) == (rows, rows)
    assert client.query("SELECT count(), uniqExact(id), max(id) FROM t").first_row == (2 * rows,) * 2 + (2 * rows - 1,)
    assert client.query_arrow("SELECT id FROM t").num_rows == 2 * rows
    assert len(client.query("SELECT id FROM t WHERE id < 300000").result_rows) == 300_000
    client.close()


def test_parameters_are_bound_not_pasted(client: Client) -> None:
    nasty = "it's \\ `\"; DROP TABLE t; -- \n\t\0 \\n °C"
    bound = client.query(
        "SELECT {text:String}, {ids:Array(Int64)}, {at:DateTime64(3)}, {none:Nullable(String)}",
        parameters={"text": nasty, "ids": [1, -2], "at": "2026-01-02 03:04:05.678", "none": None},
    ).first_row
    assert bound is not None
    assert bound[0] == nasty
    assert bound[1] == [1, -2]
    assert bound[3] is None
    client.command("CREATE TABLE {table:Identifier} (a String) ENGINE = Memory", parameters={"table": "odd name"})
    client.command("INSERT INTO {table:Identifier} VALUES ({a:String})", parameters={"table": "odd name", "a": nasty})
    assert client.query("SELECT a FROM `odd name`").first_row == (nasty,)


def test_parameters_too_long_for_an_address_come_as_a_form(client: Client) -> None:
    many = list(range(5_000))
    assert client.query("SELECT length({ids:Array(Int64)})", parameters={"ids": many}).first_row == (5_000,)


def test_settings_hold_for_their_query_only(client: Client) -> None:
    ask = "SELECT value FROM system.settings WHERE name = 'max_threads'"
    before = client.query(ask).first_row
    assert client.query(ask, settings={"max_threads": 3}).first_row == ("3",)
    assert client.query(ask).first_row == before
    client.command("CREATE TABLE t (a Int64) ENGINE = MergeTree ORDER BY a")
    asynchronous = {"async_insert": 1, "wait_for_async_insert": 1}
    assert client.insert("t", [[1], [2]], column_names=["a"], settings=asynchronous).written_rows == 2
    assert client.command("SELECT count() FROM t") == 2


def test_column_names_without_rows_and_commands_without_result(client: Client) -> None:
    client.command("CREATE TABLE t (a Int64, b Nullable(String)) ENGINE = MergeTree ORDER BY a")
    assert client.query("SELECT * FROM t LIMIT 0").column_names == ("a", "b")
    assert client.query("SELECT a FROM t").result_rows == []
    assert client.insert_arrow("t", pa.table({"a": pa.array([], pa.int64())})).written_rows == 0
    copied = client.command("INSERT INTO t SELECT number, NULL FROM numbers(7)")
    assert isinstance(copied, QuerySummary)
    assert copied.written_rows == 7
    assert client.command("SELECT count() FROM t") == 7
    assert client.command("SHOW TABLES") == "t"


@pytest.mark.parametrize(
    ("query", "code", "status"),
    [
        ("SELECT nope FROM system.one", 47, 404),
        ("SELECT * FROM nope", 60, 404),
        ("SELEC 1", 62, 400),
        ("SELECT 1; SELECT 2", 62, 400),
        ("SELECT toInt8('x')", 6, 400),
        ("SELECT throwIf(1)", 395, 500),
        ("SELECT 1 FORMAT Nope", 73, 404),
        ("SELECT count() FROM '/etc/passwd'", 60, 404),
        ("SELECT count() FROM default.`/etc/passwd`", 60, 404),
        ("SELECT * FROM file('/etc/passwd', 'LineAsString')", 497, 403),
        ("CREATE TABLE k (a Int64) ENGINE = Kafka SETTINGS kafka_topic_list = 't', kafka_broker_list = 'x'", 497, 403),
        ("", 62, 400),
    ],
)
def test_errors_are_told_as_clickhouse_does(
    http: HTTPConnection, client: Client, query: str, code: int, status: int
) -> None:
    http.request("POST", "/", query)
    answer = http.getresponse()
    text = answer.read().decode()
    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (status, str(code)), text
    assert text.startswith(f"Code: {code}. DB::Exception: ")
    assert "(version 26." in text
    with pytest.raises(DatabaseError, match=f"code: {code}"):
        client.raw_query(query)
    assert client.command("SELECT 1") == 1


@pytest.mark.parametrize(
    "body",
    [b"INSERT INTO t FORMAT ArrowStream\nnonsense", b"INSERT INTO t FORMAT CSV\n1\nx\n", b"INSERT INTO t VALUES (1,"],
)
def test_a_broken_insert_is_told_and_writes_nothing(
    http: HTTPConnection, client: Client, database: str, body: bytes
) -> None:
    client.command("CREATE TABLE t (a Int64) ENGINE = MergeTree ORDER BY a")
    http.request("POST", f"/?database={database}", body)
    answer = http.getresponse()
    assert answer.status == 400, answer.read()
    answer.read()
    assert client.command("SELECT count() FROM t") == 0


@pytest.mark.parametrize(
    ("path", "code", "status"),
    [
        ("/?no_such_setting=1", 115, 404),
        ("/?max_threads=many", 27, 400),
        ("/?max_threads%3D1,readonly=1", 36, 400),
        ("/?database=nowhere", 81, 404),
    ],
)
def test_wrong_settings_are_told(http: HTTPConnection, path: str, code: int, status: int) -> None:
    told, text = ask(http, "POST", path, b"SELECT 1")
    assert (told, text.partition(b".")[0]) == (status, f"Code: {code}".encode()), text


def ask(http: HTTPConnection, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    http.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = http.getresponse()
    return answer.status, answer.read()


def test_plain_http(http: HTTPConnection, client: Client, database: str) -> None:
    """Address and body in every split, as with curl."""
    client.command("CREATE TABLE t (a Int64, s String) ENGINE = MergeTree ORDER BY a")
    at = f"/?database={database}"
    form = {"Content_Type": "application/x-www-form-urlencoded"}  # curl's default; the body is SQL all the same
    assert ask(http, "GET", "/ping") == (200, b"Ok.\n")
    assert ask(http, "GET", "/") == (200, b"Ok.\n")
    assert ask(http, "GET", "/?query=SELECT%201") == (200, b"1\n")
    assert ask(http, "POST", at, b'INSERT INTO t FORMAT JSONEachRow {"a": 1, "s": "one;"}', **form) == (200, b"")
    assert ask(http, "POST", f"{at}&query=INSERT%20INTO%20t%20FORMAT%20CSV", b"2,two\n3,three\n") == (200, b"")
    assert ask(http, "POST", f"{at}&query=INSERT%20INTO%20t%20VALUES", b"(4, 'f''our;')") == (200, b"")
    packed = gzip.compress(b"5\tfive\n")
    assert ask(http, "POST", f"{at}&query=INSERT%20INTO%20t%20FORMAT%20TSV", packed, Content_Encoding="gzip")[0] == 200
    assert ask(http, "POST", f"{at}&query=SELECT%20s%20FROM%20t", b"WHERE a IN (1, 3, 4) ORDER BY a") == (
        200,
        b"one;\nthree\nf\\'our;\n",
    )
    status, body = ask(http, "POST", f"{at}&default_format=JSONEachRow", b"SELECT max(a) AS most FROM t")
    assert (status, json.loads(body)) == (200, {"most": 5})


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/?default_format=a%27b", b"SELECT 1", {}, 404),
        ("/?query_id=%0d%0aX:1", b"SELECT 1", {}, 200),
        ("/", b"INSERT INTO t\xff FORMAT CSV\n1", {}, 400),
        ("/", b"INSERT INTO t FORMAT \xff\n1", {}, 400),
        ("/", b"SELECT '\xff'", {}, 200),
        ("/", b"SELECT \x00", {}, 400),
        ("/", b"SELECT 1", {"Content_Encoding": "br"}, 501),
        ("/", b"SELECT 1", {"Content_Encoding": "zstd"}, 400),
        ("/", b"--x--", {"Content_Type": "multipart/form-data; boundary=y"}, 400),
        ("/nowhere", b"SELECT 1", {}, 404),
    ],
)
def test_odd_requests_get_an_answer_that_says_so(
    http: HTTPConnection, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    told, text = ask(http, "POST", path, body, **headers)
    assert told == status, text


def test_headers_of_an_answer(http: HTTPConnection) -> None:
    http.request("POST", "/?query_id=q1", "SELECT number FROM numbers(3) FORMAT JSON")
    answer = http.getresponse()
    assert json.loads(answer.read())["rows"] == 3
    assert answer.headers["X-ClickHouse-Query-Id"] == "q1"
    assert answer.headers["X-ClickHouse-Format"] == "JSON"
    assert answer.headers["Content-Type"] == "application/json; charset=UTF-8"
    assert answer.headers["X-ClickHouse-Timezone"]
    summary = json.loads(answer.headers["X-ClickHouse-Summary"])
    assert (summary["read_rows"], summary["result_rows"], summary["written_rows"]) == ("3", "3", "0")


def test_reading_requests_cannot_write_and_web_pages_cannot_ask(http: HTTPConnection, database: str) -> None:
    status, body = ask(http, "GET", f"/?database={database}&query=CREATE%20TABLE%20t%20(a%20Int8)%20ENGINE=Memory")
    assert status == 500
    assert b"Code: 164." in body
    assert ask(http, "POST", "/", b"SELECT 1", Origin="http://example.org")[0] == 403
    assert ask(http, "POST", "/", b"SELECT 1", Host="rebound.example.org") == (400, b"Invalid host header")
    assert ask(http, "POST", "/?dialect=prql", b"SELECT 1")[0] == 403


def test_queries_run_side_by_side(clickhouse: EmbeddedClickHouse, client: Client) -> None:
    """A short query is answered while a long one runs; the long one is then ended through KILL QUERY."""
    ended: list[BaseException] = []

    def long() -> None:
        other = get_client(host="127.0.0.1", port=clickhouse.port)
        try:
            other.query(
                "SELECT 'the long one', sleepEachRow(0.01) FROM numbers(100000)", settings={"max_block_size": 1}
            )
        except DatabaseError as error:
            ended.append(error)
        other.close()

    thread = threading.Thread(target=long)
    thread.start()
    running = "system.processes WHERE query LIKE '%the long one%' AND query NOT LIKE '%processes%'"
    while client.command(f"SELECT count() FROM {running}") == 0:
        assert thread.is_alive()
    assert client.command("SELECT 1") == 1
    assert thread.is_alive()
    client.command(f"KILL QUERY WHERE query_id IN (SELECT query_id FROM {running})")
    thread.join(20)
    assert "code: 394" in str(ended[0])


def test_views_count_in_the_summary_as_in_clickhouse(client: Client) -> None:
    client.command("CREATE TABLE t (a Int64) ENGINE = MergeTree ORDER BY a")
    client.command("CREATE MATERIALIZED VIEW v ENGINE = MergeTree ORDER BY a AS SELECT a FROM t")
    assert client.insert("t", [[1], [2]], column_names=["a"]).written_rows == 4
