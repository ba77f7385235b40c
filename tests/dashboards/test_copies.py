"""The measurement runs, on few readings."""

from dataclasses import replace

from infra.clickhouse import migrate
from infra.clickhouse.client import connect
from tests.dashboards.__main__ import measure
from tests.dashboards.copies import multiply
from tests.dashboards.seeding import Seeded


def test_everything_is_asked_of_the_copies(seeded: Seeded, database: str) -> None:
    address = replace(seeded.address, database=database)
    with connect(address) as client:
        migrate.init(client)
        assert multiply(client, seeded.address.database, readings=40_000) == 30
        assert client.command("SELECT uniqExact(sensor_id) FROM readings_final") == 2 * 14
        found = measure(Seeded(address=address, client=client), repeat=1)
    assert len(found) > 100
