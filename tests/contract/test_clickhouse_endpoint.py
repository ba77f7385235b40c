"""The embedded endpoint keeps the contract of ClickHouse's HTTP interface, as clickhouse-connect and curl use it."""

import pyarrow as pa
import pytest
from clickhouse_connect import get_client
from clickhouse_connect.driver.client import Client

from infra.embedded.clickhouse import EmbeddedClickHouse

ROWS = 10_000
COLUMNS = """
    id Int64, sensor LowCardinality(String), scores Map(LowCardinality(String), Float32),
    flagged_by Array(LowCardinality(String)), value Nullable(Float64), time DateTime64(3, 'UTC'), late Bool
"""


@pytest.fixture
def client(clickhouse: EmbeddedClickHouse, database: str) -> Client:
    return get_client(host="127.0.0.1", port=clickhouse.port, database=database)


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
    back = client.query_arrow("SELECT * FROM t ORDER BY id")
    assert back.to_pylist() == table.to_pylist()
