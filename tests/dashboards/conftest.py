"""One seeded database for all questions that dashboards, alerts and analysts ask."""

import uuid
from collections.abc import Iterator

import pytest

from infra.clickhouse.client import Address, connect
from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from tests.dashboards.seeding import Seeded, add_what_people_and_time_add, run_flow


@pytest.fixture(scope="session")
def seeded(
    broker: Broker, clickhouse: EmbeddedClickHouse, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Seeded]:
    """Half an hour of a real flow, with alerts and events; only to be read."""
    database = f"seeded_{uuid.uuid4().hex[:12]}"
    run_flow(broker, clickhouse.port, tmp_path_factory.mktemp("seeded"), database)
    address = Address(port=clickhouse.port, database=database)
    with connect(address) as client:
        add_what_people_and_time_add(client)
        yield Seeded(address=address, client=client)
