"""What chaos is judged by sees a row that is lost, doubled or changed."""

from pathlib import Path

from infra.clickhouse.client import Address, connect
from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from tests.chaos.compare import differences, miscounted
from tests.running import sites

HARMS = (
    ("DELETE FROM {database}.readings WHERE sensor_id = '{sensor}' AND offset = {offset}", "windows by sensor are not"),
    ("ALTER TABLE {database}.readings UPDATE score = 9 WHERE offset = {offset} + 9", "readings: "),
    ("ALTER TABLE {database}.windows UPDATE mean = mean + 1e-6 WHERE count > 0", "another mean"),
    ("DELETE FROM {database}.ledger WHERE partition = 0", "partition 0: "),
    ("DELETE FROM {database}.dead_letters WHERE true", "dead_letters: no rows"),
)
"""What is done to the tables, one after the other, and what is to be told of."""


def test_harm_is_seen(broker: Broker, clickhouse: EmbeddedClickHouse, tmp_path: Path) -> None:
    make = sites(broker, clickhouse, tmp_path, messages=2_000, partitions=2)
    one, other = make("one"), make("other")
    for site in (one, other):
        site.run_to_end()
    with connect(Address(port=clickhouse.port, database=one.database)) as client:
        counted = client.query("SELECT partition, sum(messages) FROM ledger_final GROUP BY partition").result_rows
        sent = {int(partition): int(messages) for partition, messages in counted}
        first = client.query("SELECT sensor_id, offset FROM readings_final ORDER BY time LIMIT 1").result_rows[0]
        places = {"database": one.database, "sensor": first[0], "offset": first[1]}

        def found() -> list[str]:
            return [*differences(client, one.database, other.database), *miscounted(client, one.database, sent)]

        assert found() == []
        for harm, told in HARMS:
            client.command(harm.format(**places), settings={"mutations_sync": 2})
            assert any(told in line for line in found()), (harm, found())
