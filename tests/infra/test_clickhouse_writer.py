"""The writer against a live ClickHouse: round trips, redelivery, outages, refusals, bounds."""

import gc
import logging
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client

from infra.clickhouse import migrate
from infra.clickhouse.client import Address, ClickHouseError, connect
from infra.clickhouse.gather import gather
from infra.clickhouse.writer import Writer
from infra.embedded.clickhouse import EmbeddedClickHouse
from operators.batches import NO_SEQ, ColumnData, Labels, Lists, Maps, Rows
from operators.records import TABLES, Table
from tests.infra.clickhouse_support import Wire, database, until


@pytest.fixture(scope="module")
def live(clickhouse: EmbeddedClickHouse) -> Iterator[tuple[Address, Client]]:
    with database(clickhouse.port) as both:
        yield both


@pytest.fixture
def wire(live: tuple[Address, Client], clickhouse: EmbeddedClickHouse) -> Iterator[tuple[Wire, Address, Client]]:
    """A wire to ClickHouse, the address of its near end, and a client that goes around it."""
    address, client = live
    with Wire(clickhouse.port) as wire:
        yield wire, Address(port=wire.port, database=address.database), client


def events(first: int, length: int, *, kind: str) -> Rows:
    numbers = np.arange(first, first + length)
    return Rows("events", length, {"time": numbers, "kind": kind, "subject": [f"s{i}" for i in numbers], "detail": "d"})


def count(client: Client, kind: str) -> int:
    found = client.command("SELECT count() FROM events_final WHERE kind = {kind:String}", parameters={"kind": kind})
    assert isinstance(found, int)
    return found


def value(kind: str, row: int) -> Any:
    """Some value of a ClickHouse type, as the final view gives it back."""
    if kind.startswith("Nullable"):
        return None if row == 1 else value(kind.removeprefix("Nullable(").removesuffix(")"), row)
    if kind.startswith(("Int", "UInt")):
        return row
    return {
        "Bool": row == 1,
        "Float32": row / 4,
        "Float64": row / 4,
        "LowCardinality(String)": f"ü{row}",
        "String": f"text {row}",
        "UUID": uuid.UUID(int=row),
        "DateTime64(3, 'UTC')": 1_700_000_000_000 + row,
        "Array(LowCardinality(String))": [f"r{i}" for i in range(row)],
        "Map(LowCardinality(String), Float32)": {f"k{i}": i / 4 for i in range(row)},
        "Map(LowCardinality(String), Float64)": {f"k{i}": i / 4 for i in range(row)},
    }[kind]


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_table_comes_back_as_it_was_written(live: tuple[Address, Client], table: Table) -> None:
    address, client = live
    rows = [{column.name: value(column.type, row) for column in table.columns} for row in range(3)]
    columns: dict[str, ColumnData] = {column.name: [row[column.name] for row in rows] for column in table.columns}
    writer = Writer(address)
    writer.write([Rows(table.name, 3, columns)])
    writer.flush()
    writer.close()
    selected = ", ".join(
        f"toUnixTimestamp64Milli(`{column.name}`)" if "DateTime64" in column.type else f"`{column.name}`"
        for column in table.columns
    )
    result = client.query(f"SELECT {selected} FROM {table.name}_final ORDER BY toString(`{table.identity[0]}`)")
    assert [dict(zip(columns, row, strict=True)) for row in result.result_rows] == rows
    client.command(f"TRUNCATE TABLE {table.name}")


def readings(first: int, length: int) -> Rows:
    rng = np.random.default_rng(first)
    offset = np.arange(first, first + length)
    return Rows(
        "readings",
        length,
        {
            "sensor_id": Labels((offset % 50).astype(np.int32), [f"s{i}" for i in range(50)]),
            "time": 1_700_000_000_000 + offset,
            "topic": "t",
            "partition": 0,
            "offset": offset,
            "idx": 0,
            "generation": 0,
            "value": offset / 2,
            "location": "",
            "seq": np.where(offset % 2, offset, NO_SEQ),
            "scores": Maps(("z", "g"), rng.random((length, 2))),
            "flagged_by": Lists(("z", "g"), rng.random((length, 2)) < 0.1),
        },
    )


def test_rows_delivered_again_in_other_batches_count_once(live: tuple[Address, Client]) -> None:
    address, client = live
    writer = Writer(address)
    writer.write([readings(first, 5000) for first in range(0, 50_000, 5000)])
    writer.flush()
    writer.write([readings(first, 777) for first in range(30_000, 45_000, 777)])
    writer.flush()
    writer.close()
    sql = "SELECT count(), sum(value), uniqExact(sensor_id), countIf(seq IS NULL) FROM readings_final"
    found = client.query(sql).result_rows
    assert [tuple(row) for row in found] == [(50_000, sum(range(50_000)) / 2, 50, 25_000)]
    assert writer.stats.rows >= 65_000
    # As few parts as inserts, and no more: 2.5 and 0.8 inserts' worth of rows.
    assert writer.stats.inserts <= 5


def test_rows_of_many_years_fit_into_one_insert(live: tuple[Address, Client]) -> None:
    address, client = live
    writer = Writer(address)
    months = 30 * 86_400_000 * np.arange(150)
    writer.write([Rows("events", 150, {"time": months, "kind": "years", "subject": "s"})])
    writer.flush()
    writer.close()
    assert count(client, "years") == 150


def test_small_batches_are_gathered() -> None:
    def rows(*names: str, **more: Any) -> Rows:
        return Rows("events", len(names), {"subject": list(names), **more})

    gathered = gather(
        [
            rows("a", kind="x", time=np.array([1])),
            rows("b", "c", kind="y", time=np.array([2, 3])),
            rows(),
            Rows("windows", 1, {"count": 5}),
            rows("d", kind=["z"], time=np.array([4])),
            rows("e", kind=Labels(np.array([0], np.int32), ("w",)), time=[5]),
        ]
    )
    assert [(batch.table, len(batch)) for batch in gathered] == [("events", 5), ("windows", 1)]
    assert gathered[0].to_dicts() == [
        {"subject": name, "kind": kind, "time": time}
        for name, kind, time in zip("abcde", "xyyzw", range(1, 6), strict=True)
    ]


def test_gathering_keeps_maps_lists_and_scalars() -> None:
    one = Maps(("z",), np.array([[1.0]]))
    masked = Maps(("z",), np.array([[2.0]]), np.array([[False]]))
    shared = ["p", "q"]
    labels = [Labels(np.array([code], np.int32), shared) for code in (1, 0)]
    batches = [
        Rows("readings", 1, {"scores": s, "flagged_by": f, "topic": t, "partition": p, "unit": u})
        for s, f, t, p, u in (
            (one, Lists(("z",), np.array([[True]])), "t", 1, labels[0]),
            (masked, Lists(("z",), np.array([[False]])), "t", 2, labels[1]),
        )
    ]
    (joined,) = gather(batches)
    assert joined.to_dicts() == [row for batch in batches for row in batch.to_dicts()]
    assert joined.columns["topic"] == "t"
    unit = joined.columns["unit"]
    assert isinstance(unit, Labels)
    assert list(unit.values) == shared
    other = Rows("readings", 1, {**batches[0].columns, "scores": Maps(("g",), np.array([[3.0]]))})
    assert gather([batches[0], other])[0].to_dicts() == [*batches[0].to_dicts(), *other.to_dicts()]


def test_an_outage_loses_nothing_and_is_said_once(
    wire: tuple[Wire, Address, Client], caplog: pytest.LogCaptureFixture
) -> None:
    cable, address, client = wire
    caplog.set_level(logging.INFO)
    writer = Writer(address)
    writer.write([events(0, 100, kind="outage")])
    writer.flush()
    cable.cut()
    writer.write([events(100, 100, kind="outage")])
    flushed = threading.Event()

    def flush() -> None:
        writer.flush()
        flushed.set()

    flusher = threading.Thread(target=flush)
    flusher.start()
    until(lambda: writer.stats.failures >= 3)
    assert not flushed.is_set(), "flush must wait for the acknowledgement"
    assert count(client, "outage") == 100
    cable.mend()
    flusher.join()
    assert count(client, "outage") == 200
    writer.flush()
    writer.close()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2, said
    assert said[0].startswith(f"ClickHouse at 127.0.0.1:{address.port} does not answer (")
    assert "rows are held back meanwhile" in said[0]
    assert f"ClickHouse at 127.0.0.1:{address.port} is back after" in said[1]
    assert writer.stats.outages == 1


def test_attempts_that_fail_keep_nothing_of_what_they_sent(wire: tuple[Wire, Address, Client]) -> None:
    cable, address, client = wire
    writer = Writer(address)
    writer.write([events(0, 1, kind="kept")])
    writer.flush()
    cable.cut()
    gc.collect()
    gc.disable()  # what only it would find stays in a worker that waits
    try:
        before = pa.total_allocated_bytes()
        writer.write([events(1, 10_000, kind="kept")])
        until(lambda: writer.stats.failures >= 1)
        after_one = pa.total_allocated_bytes()
        until(lambda: writer.stats.failures >= 4)
        kept = pa.total_allocated_bytes() - after_one
    finally:
        gc.enable()
    cable.mend()
    writer.flush()
    writer.close()
    assert after_one > before
    assert kept <= 0
    assert count(client, "kept") == 10_001


def test_absent_at_the_start(wire: tuple[Wire, Address, Client]) -> None:
    cable, address, client = wire
    cable.cut()
    writer = Writer(address)
    writer.write([events(0, 10, kind="absent")])
    until(lambda: writer.stats.failures > 0)
    cable.mend()
    writer.flush()
    assert count(client, "absent") == 10
    writer.flush()
    writer.close()


def test_what_is_buffered_is_bounded(wire: tuple[Wire, Address, Client]) -> None:
    cable, address, client = wire
    cable.cut()
    limit = 100_000
    writer = Writer(address, max_buffered_bytes=limit)
    peaks: list[int] = []

    def produce() -> None:
        for first in range(0, 20_000, 1000):
            writer.write([events(first, 1000, kind="bounded")])
            peaks.append(writer.stats.buffered_bytes)

    producer = threading.Thread(target=produce)
    producer.start()
    until(lambda: writer.stats.failures > 0 and writer.stats.waiting_writes > 0)
    assert 0 < len(peaks) < 20
    cable.mend()
    producer.join()
    writer.flush()
    assert len(peaks) == 20
    assert max(peaks) <= limit
    assert writer.stats.blocked_s > 0
    assert writer.stats.buffered_bytes == 0
    assert count(client, "bounded") == 20_000
    writer.flush()
    writer.close()


def test_a_batch_over_the_bound_still_passes_alone(live: tuple[Address, Client]) -> None:
    address, client = live
    writer = Writer(address, max_buffered_bytes=10)
    writer.write([events(0, 3, kind="large"), events(3, 3, kind="large")])
    writer.flush()
    writer.close()
    assert count(client, "large") == 6


def test_closing_does_not_wait_for_a_clickhouse_that_is_away(wire: tuple[Wire, Address, Client]) -> None:
    cable, address, client = wire
    cable.cut()
    writer = Writer(address)
    writer.write([events(0, 10, kind="left")])
    failures: list[Exception] = []

    def flush() -> None:
        try:
            writer.flush()
        except ClickHouseError as error:
            failures.append(error)

    flusher = threading.Thread(target=flush)
    flusher.start()
    until(lambda: writer.stats.failures > 0)
    writer.close()
    flusher.join()
    assert len(failures) == 1, "who waits for rows that will not be stored must hear of it"
    with pytest.raises(ClickHouseError):
        writer.write([events(0, 1, kind="left")])
    assert count(client, "left") == 0


def test_a_closed_writer_says_so(live: tuple[Address, Client]) -> None:
    writer = Writer(live[0])
    writer.close()
    with pytest.raises(ClickHouseError, match="writer is closed"):
        writer.write([events(0, 1, kind="closed")])


def test_a_refusal_that_will_not_heal_surfaces(clickhouse: EmbeddedClickHouse) -> None:
    with database(clickhouse.port) as (address, client):
        client.command("ALTER TABLE events DROP COLUMN detail")
        writer = Writer(address)
        writer.write([events(0, 10, kind="refused")])
        with pytest.raises(
            ClickHouseError, match=r"refused 10 rows of events: .*detail.*streamgauge db init"
        ) as caught:
            writer.flush()
        assert not caught.value.transient
        with pytest.raises(ClickHouseError, match="nothing is lost"):
            writer.write([events(0, 1, kind="refused")])
        with pytest.raises(ClickHouseError):
            writer.flush()
    writer.close()


def test_wrong_rows_surface_at_once_and_harm_no_others(live: tuple[Address, Client]) -> None:
    address, client = live
    writer = Writer(address)
    writer.write([events(0, 1, kind="good")])
    with pytest.raises(ValueError, match=r"events.time: .*"):
        writer.write([Rows("events", 1, {"time": ["yesterday"]})])
    writer.flush()
    writer.close()
    assert count(client, "good") == 1


def test_kill_9_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    server = EmbeddedClickHouse(tmp_path / "data", log=tmp_path / "log")
    server.start()
    address = Address(port=server.port)
    client = connect(address)
    migrate.init(client)
    writer = Writer(address)
    for first in range(0, 20_000, 1000):
        writer.write([events(first, 1000, kind="killed")])
        if first == 8000:
            writer.flush()
        if first == 12_000:
            server.kill()
    until(lambda: writer.stats.failures > 0)
    server.start()
    writer.flush()
    writer.close()
    assert count(client, "killed") == 20_000
    client.close()
    server.stop()
