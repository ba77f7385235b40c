"""SQL as the endpoint understands it, and what its guard refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.embedded.errors import QueryError
from infra.embedded.guard import Guard
from infra.embedded.statement import parse


@pytest.mark.parametrize(
    ("query", "text", "data_format", "data"),
    [
        (b"INSERT INTO t FORMAT Native\n\x01;'", b"INSERT INTO t", "Native", b"\x01;'"),
        (b"insert into t (a, b) format JSONEachRow {}", b"insert into t (a, b)", "JSONEachRow", b"{}"),
        (b"INSERT INTO t FORMAT TSV\r\n\n1", b"INSERT INTO t", "TSV", b"\n1"),
        (b"INSERT INTO t VALUES (1); DROP TABLE t", b"INSERT INTO t", "Values", b"(1); DROP TABLE t"),
        (b"INSERT INTO db.values VALUES (1)", b"INSERT INTO db.values", "Values", b"(1)"),
        (b"INSERT INTO format (format, values) FORMAT CSV\n", b"INSERT INTO format (format, values)", "CSV", b""),
        (b"INSERT INTO t SETTINGS async_insert=1 FORMAT CSV 1", b"INSERT INTO t SETTINGS async_insert=1", "CSV", b"1"),
        (
            b"/* FORMAT CSV */ INSERT INTO `t FORMAT x` VALUES",
            b"/* FORMAT CSV */ INSERT INTO `t FORMAT x`",
            "Values",
            b"",
        ),
    ],
)
def test_where_the_data_of_an_insert_begin(query: bytes, text: bytes, data_format: str, data: bytes) -> None:
    statement = parse(query)
    assert statement.data is not None
    assert (statement.text.strip(), statement.format, bytes(statement.data)) == (text, data_format, data)
    assert not statement.has_result


@given(st.binary(max_size=64))
def test_the_data_of_an_insert_are_never_touched(data: bytes) -> None:
    found = parse(b"INSERT INTO t (a) FORMAT Native\n" + data).data
    assert found is not None
    assert bytes(found) == data


@pytest.mark.parametrize(
    ("query", "result_format", "has_result"),
    [
        (b"SELECT 1", None, True),
        (b"(SELECT 1) UNION ALL SELECT 2 FORMAT JSON", "JSON", True),
        (b"WITH 1 AS x SELECT x FORMAT JSONEachRow SETTINGS max_threads = 1 ;; -- done", "JSONEachRow", True),
        (b"SELECT 'FORMAT CSV', format FROM t", None, True),
        (b"CREATE TABLE t (format String) ENGINE = Memory", None, False),
        (b"INSERT INTO t SELECT format FROM u", None, False),
    ],
)
def test_the_format_asked_for(query: bytes, result_format: str | None, has_result: bool) -> None:
    statement = parse(query)
    assert (statement.format, statement.has_result, statement.data) == (result_format, has_result, None)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        (b" -- nothing\n ;", "Empty query"),
        (b"SELECT 1; DROP TABLE t", "Multi-statements are not allowed"),
        (b"SELECT 'it", "not closed: it begins with '"),
        (b"SELECT 1 /* and", "not closed"),
        (b"SELECT $x$ 1", "not closed"),
        (b"SELECT " + b"1," * 131_072, "Max query size exceeded"),
        (b"INSERT INTO t SELECT * FROM input('a Int8') FORMAT CSV 1", "insert the rows plainly"),
    ],
)
def test_what_is_no_single_statement_is_refused(query: bytes, why: str) -> None:
    with pytest.raises(QueryError, match=why):
        parse(query)


GUARD = Guard(["file", "url", "s3", "numbers", "merge", "view", "newFunction"])


@pytest.mark.parametrize(
    "query",
    [
        "CREATE TABLE k (a Int64) ENGINE = Kafka SETTINGS kafka_topic_list = 't'",
        "create table k (a Int64) engine /* = Memory */ kafka()",
        "CREATE TABLE k (a Int64 DEFAULT (SELECT 1)) ENGINE = `Kafka`",
        "ATTACH TABLE k (a Int64) ENGINE=RabbitMQ",
        "CREATE DATABASE d ENGINE = Filesystem('/')",
        "CREATE TABLE r (a Int64) ENGINE = ReplicatedMergeTree('/x', 'y') ORDER BY a",
        "ATTACH TABLE t FROM '/home' (a Int64) ENGINE = Log",
        "CREATE DICTIONARY d (a Int64) PRIMARY KEY a SOURCE(EXECUTABLE(command 'id' format 'CSV')) LAYOUT(FLAT())",
        "CREATE DICTIONARY d (a Int64) PRIMARY KEY a SOURCE(HTTP(url 'http://x')) LAYOUT(FLAT())",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT file ('/etc/passwd')",
        "SELECT * FROM `file`('/etc/passwd')",
        r"SELECT * FROM `f\x69le`('/etc/passwd')",
        "SELECT * FROM “file”('/etc/passwd')",
        "SELECT * FROM file\u00a0('/etc/passwd')",
        "SELECT * FROM file/**/(/**/'/etc/passwd')",
        "SELECT * FROM {f:Identifier}('/etc/passwd')",
        "INSERT INTO FUNCTION file('/tmp/x') SELECT 1",
        "INSERT INTO TABLE FUNCTION url('http://x') VALUES (1)",
        "SELECT * FROM newFunction(1)",
        "CREATE VIEW v AS SELECT * FROM s3('x')",
        "SELECT 1 INTO OUTFILE '/tmp/x'",
        "INSERT INTO t FROM INFILE '/tmp/x' FORMAT CSV",
        "BACKUP TABLE t TO File('/tmp/x')",
        "SYSTEM SHUTDOWN",
    ],
)
def test_the_guard_refuses_what_reaches_outside(query: str) -> None:
    with pytest.raises(QueryError, match="Refused by the embedded endpoint") as told:
        GUARD.check(parse(query.encode()))
    assert told.value.status == 403


@pytest.mark.parametrize(
    "query",
    [
        "CREATE TABLE t (a Int64) ENGINE = ReplacingMergeTree(v) PARTITION BY toYYYYMM(time) ORDER BY (a, file)",
        "CREATE TABLE IF NOT EXISTS file (url String) ENGINE Memory",
        "CREATE DATABASE IF NOT EXISTS d ENGINE = Atomic",
        "CREATE MATERIALIZED VIEW m ENGINE = AggregatingMergeTree ORDER BY a AS SELECT a, count() FROM t GROUP BY a",
        "CREATE VIEW v AS SELECT engine FROM system.tables",
        "CREATE DICTIONARY d (a Int64) PRIMARY KEY a SOURCE(CLICKHOUSE(TABLE 'sensors')) LAYOUT(HASHED())",
        "SELECT name FROM system.tables WHERE engine = 'Kafka' -- file('x')",
        "SELECT 'file(1)', `file`, url FROM d.file WHERE a IN (1, 2)",
        "INSERT INTO d.file (a) VALUES (1)",
        "INSERT INTO {t:Identifier} (a) VALUES (1)",
        "SELECT sum(number) FROM numbers(10) WHERE number > {least:UInt64}",
        "SYSTEM FLUSH LOGS",
        "OPTIMIZE TABLE t FINAL",
    ],
)
def test_the_guard_lets_pass_what_stays_inside(query: str) -> None:
    GUARD.check(parse(query.encode()))
