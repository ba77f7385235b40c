"""Writing Arrow tables, with ClickHouse's word for every row."""

import pyarrow as pa
from clickhouse_connect.driver.client import Client

from infra.clickhouse.client import ClickHouseError, explained

_SETTINGS = {
    # Rows are gathered here already; and up to 26.3 an asynchronous insert reports 0 written rows, so that nothing
    # could be checked.
    "async_insert": 0,
    # History holds rows of many months; refusing them (100 by default) would stop the flow for good.
    "max_partitions_per_insert_block": 0,
}


def insert(client: Client, name: str, rows: pa.Table) -> None:
    """Store rows in a table; returns when ClickHouse has written all of them. Raises ClickHouseError."""
    with explained(f"{rows.num_rows} rows of {name}", client):
        written = client.insert_arrow(name, rows, settings=_SETTINGS).written_rows
    # Materialized views of one's own add the rows they write.
    if written < rows.num_rows:
        raise ClickHouseError(
            f"ClickHouse took {rows.num_rows} rows of {name} but says it wrote {written}: "
            "does a proxy on the way answer for it, or drop the X-ClickHouse-Summary header?"
        )
