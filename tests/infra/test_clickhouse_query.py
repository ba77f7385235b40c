"""Reading with SQL, the registry, connecting, and what errors say."""

import logging
import math
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from infra.clickhouse.client import Address, ClickHouseError, connect, explained
from infra.clickhouse.query import query
from infra.clickhouse.registry import load_registry, save_registry
from infra.embedded.clickhouse import EmbeddedClickHouse
from operators.registry import SensorInfo
from tests.infra.clickhouse_support import Wire, database


@pytest.fixture(scope="module")
def live(clickhouse: EmbeddedClickHouse) -> Iterator[tuple[Address, Client]]:
    with database(clickhouse.port) as both:
        yield both


@pytest.fixture(scope="module")
def client(live: tuple[Address, Client]) -> Client:
    return live[1]


def test_rows_come_with_names_and_types(client: Client) -> None:
    result = query(client, "SELECT number AS n, toString(number) AS text FROM numbers(3);")
    assert (result.columns, result.types) == (("n", "text"), ("UInt64", "String"))
    assert [tuple(row) for row in result.rows] == [(0, "0"), (1, "1"), (2, "2")]
    assert not result.truncated


@pytest.mark.parametrize("sql", ["SHOW TABLES", "DESCRIBE readings", "EXPLAIN SELECT 1", "WITH 1 AS a SELECT a -- end"])
def test_every_statement_that_reads_works(client: Client, sql: str) -> None:
    assert query(client, sql).rows


def test_a_result_is_cut_where_asked(client: Client) -> None:
    result = query(client, "SELECT number FROM numbers(10000000)", max_rows=5)
    assert (len(result.rows), result.truncated) == (5, True)
    assert not query(client, "SELECT number FROM numbers(5)", max_rows=5).truncated


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO sensors (sensor_id) VALUES ('a')",
        "DROP TABLE readings",
        "CREATE TABLE x (a Int8) ENGINE = Memory",
        "ALTER TABLE readings DROP COLUMN value",
    ],
)
def test_writing_is_refused(client: Client, sql: str) -> None:
    with pytest.raises(ClickHouseError, match=r"code 164\]: only reading is allowed here"):
        query(client, sql)
    assert client.command("SELECT count() FROM sensors") == 0


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELEC 1", r"(?s)Syntax error.*code 62\]: check the query's syntax"),
        ("SELECT nonsense FROM readings", r"nonsense.*code 47\]: check the names"),
        ("SELECT * FROM nonsense", r"nonsense.*code 60\]: check the table's name"),
        ("SELECT sleep(3)", r"code 159\]"),
    ],
)
def test_mistakes_are_explained_without_addresses(client: Client, sql: str, said: str) -> None:
    with pytest.raises(ClickHouseError, match=said) as caught:
        query(client, sql, timeout_s=1)
    assert "http" not in str(caught.value)


def test_the_registry_is_kept_and_replaced(client: Client) -> None:
    assert load_registry(client) == {}
    save_registry(client, {}, updated_ms=0)
    one = SensorInfo("temperature", "hall", "boiler", "°C", -40.0, 125.0, 1000, "Europe/Berlin")
    save_registry(client, {"a": one, "b": SensorInfo(location="roof")}, updated_ms=1)
    save_registry(client, {"a": replace(one, max_value=90.0)}, updated_ms=2)
    save_registry(client, {"a": one}, updated_ms=1)
    found = load_registry(client)
    assert found["a"] == replace(one, max_value=90.0)
    assert found["b"].location == "roof"
    assert all(math.isnan(number) for number in (found["b"].min_value, found["b"].max_value, found["b"].interval_ms))
    client.command("TRUNCATE TABLE sensors")


def test_connecting_waits_when_asked_and_says_so_once(
    clickhouse: EmbeddedClickHouse, caplog: pytest.LogCaptureFixture
) -> None:
    with Wire(clickhouse.port) as wire:
        wire.cut()
        address = Address(port=wire.port)
        with pytest.raises(
            ClickHouseError, match=r"ClickHouse at 127.0.0.1:\d+ does not answer \([^:]+\): is it running"
        ) as caught:
            connect(address)
        assert caught.value.transient
        assert not caplog.records
        mender = threading.Timer(0.3, wire.mend)
        mender.start()
        connect(address, wait_s=math.inf).close()
        mender.join()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[0].endswith("-- trying again until it is back")
    assert "is back after" in said[1]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_waiting_can_be_given_up() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(ClickHouseError, match="does not answer"):
        connect(Address(port=1), wait_s=math.inf, stop=stop)


def test_a_password_is_never_shown() -> None:
    assert "hunter2" not in repr(Address(password="hunter2"))


@pytest.mark.parametrize(
    ("error", "said", "transient"),
    [
        (DatabaseError("Code: 516. DB::Exception: default: failed", code=516), "clickhouse.password", False),
        (DatabaseError("Code: 252. DB::Exception: Too many parts", code=252), "Too many parts", True),
        (DatabaseError("Code: 241. DB::Exception: Memory limit", code=241), "Memory limit", True),
        (DatabaseError("HTTP driver received HTTP status 502 (for url x)"), "HTTP status 502", True),
        (DatabaseError("HTTP driver received HTTP status 404 (for url x)"), "HTTP status 404", False),
        (OperationalError("Error executing HTTP request"), "does not answer", True),
        (DatabaseError("something else"), "something else", False),
    ],
)
def test_errors_say_what_to_do_and_whether_they_heal(error: DatabaseError, said: str, transient: bool) -> None:
    with pytest.raises(ClickHouseError, match=said) as caught, explained("that", Address()):
        raise error
    assert caught.value.transient is transient
    assert "for url" not in str(caught.value)
