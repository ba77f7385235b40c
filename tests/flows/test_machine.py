"""The machine's troubles as alerts, over restarts of what watches it."""

from pathlib import Path

from flows.configuration import load
from flows.machine import MachineAlerts
from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.observe.system import LOOKS, Change, Look
from tests.kafka import new_topic
from tests.running import Site, create_tables


def test_one_alert_until_it_is_over_also_for_another_run(
    tmp_path: Path, broker: Broker, clickhouse: EmbeddedClickHouse, database: str
) -> None:
    topic = new_topic(broker)
    site = Site(
        home=tmp_path, bootstrap=broker.bootstrap, topic=topic, clickhouse_port=clickhouse.port, database=database
    )
    create_tables(site)
    empty = tmp_path / "empty.toml"
    empty.touch()
    settings = load(empty, site.environment | {"STREAMGAUGE_KAFKA__ALERTS_TOPIC": topic})
    degraded = Change("degraded", "memory", "1.0% of memory is left")
    MachineAlerts(settings).tell([degraded])
    MachineAlerts(settings).tell([degraded])  # of another run, that knew nothing of it
    (row,) = site.stored("alerts")
    assert (row["rule"], row["state"], row["source"]) == ("short of memory", "open", "health")
    assert row["reason"].endswith("1.0% of memory is left")

    alerts = MachineAlerts(settings)
    judge = alerts.judge()
    well = Look(cpu=0.1, memory=0.9, disks={})
    changes = [change for _ in range(LOOKS) for change in judge.judge(well)]
    assert [(change.kind, change.subject) for change in changes] == [("recovered", "memory")]
    alerts.tell(changes)
    (row,) = site.stored("alerts")
    assert row["state"] == "resolved"
    assert alerts.judge().judge(well) == []
