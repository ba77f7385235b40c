"""Millions of readings in an embedded ClickHouse: those of a real flow, copied to more sensors and earlier times."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from infra.clickhouse import migrate
from infra.clickhouse.client import Address, connect
from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from tests.dashboards.copies import multiply
from tests.dashboards.seeding import Seeded, add_what_people_and_time_add, run_flow


@contextmanager
def large(readings: int) -> Iterator[Seeded]:
    """At least so many."""
    with tempfile.TemporaryDirectory(prefix="streamgauge-large-") as name:
        home = Path(name)
        with EmbeddedClickHouse(home / "clickhouse", log=home / "clickhouse.log") as server:
            with Broker(home / "broker") as broker:
                run_flow(broker, server.port, home / "flow", "small")
            with connect(Address(port=server.port, database="small")) as client:
                add_what_people_and_time_add(client)
            address = Address(port=server.port, database="large")
            with connect(address) as client:
                migrate.init(client)
                minutes = multiply(client, "small", readings=readings)
                seeded = Seeded(address=address, client=client)
                yield replace(seeded, from_ms=seeded.to_ms - minutes * 60_000)
