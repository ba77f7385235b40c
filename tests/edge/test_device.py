"""One device as a whole: MQTT in, verdicts and alerts out, on to a Kafka elsewhere; cut, restarted, killed."""

import time
from pathlib import Path

import pytest

from infra.clickhouse.client import Address, connect
from infra.clickhouse.query import query
from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.kafka.admin import create_topic
from tests.edge.device import Device, arrived, heard, readings
from tests.flows.commands import processes_in
from tests.kafka import connection, eventually

SENSORS = [f"pump-{n}" for n in range(10)]


@pytest.fixture
def upstream(tmp_path: Path) -> Broker:
    """A Kafka elsewhere, with its topics, that is stopped."""
    broker = Broker(tmp_path / "upstream")
    with broker:
        for topic in ("plant.sensors.readings", "plant.sensors.alerts"):
            create_topic(connection(broker), topic, partitions=1, config={"retention.ms": "-1"})
    return broker


def test_readings_become_verdicts_and_alerts_and_go_on_when_the_kafka_elsewhere_is_back(
    tmp_path: Path, upstream: Broker, clickhouse: EmbeddedClickHouse, database: str
) -> None:
    store = {"CLICKHOUSE__PORT": str(clickhouse.port), "CLICKHOUSE__DATABASE": database}
    device = Device(tmp_path / "device", EDGE__UPSTREAM=upstream.bootstrap, EDGE__PREFIX="plant.", **store)
    with device.runs("--no-store"):
        with heard(device.mqtt_port, "alerts/+/notification", "verdicts/+") as told:
            device.publish(readings(SENSORS, 0, 300))
            hot = {"value": 900.5, "timestamp": round(time.time() * 1000), "sensor_type": "temperature"}
            device.publish([("boiler", hot)])
            assert eventually(lambda: len(told) >= 2, within_s=30), device.said
        by_topic = dict(told)
        assert by_topic["verdicts/boiler"]["value"] == 900.5
        assert by_topic["verdicts/boiler"]["out_of_range"] is True
        alert = by_topic["alerts/boiler/notification"]
        assert (alert["state"], alert["rule"]) == ("open", "anomaly")
    with device.runs("--no-store"), heard(device.mqtt_port, "alerts/+/notification") as told_again:
        device.publish(readings(SENSORS, 300, 600))
        upstream.start()
        expected = sorted([*(n / 100 for n in range(600)), 900.5])
        assert eventually(lambda: len(arrived(upstream, "plant.sensors.readings")) >= 601, within_s=60), device.said
        assert eventually(lambda: len(arrived(upstream, "plant.sensors.alerts")) >= 1, within_s=30), device.said
    found = [one["value"] for one in arrived(upstream, "plant.sensors.readings")]
    assert sorted(set(found)) == expected
    assert {one["alert_id"] for one in arrived(upstream, "plant.sensors.alerts")} == {alert["alert_id"]}
    assert told_again == [], "the same alert is not told again after a restart"
    with connect(Address(port=clickhouse.port, database=database)) as client:
        assert query(client, "SHOW TABLES").rows == []
    upstream.stop()
    assert not processes_in(tmp_path)


def test_nothing_is_lost_when_its_parts_are_killed(
    tmp_path: Path, upstream: Broker, clickhouse: EmbeddedClickHouse, database: str
) -> None:
    store = {"CLICKHOUSE__PORT": str(clickhouse.port), "CLICKHOUSE__DATABASE": database}
    device = Device(tmp_path / "device", EDGE__UPSTREAM=upstream.bootstrap, EDGE__PREFIX="plant.", **store)
    with upstream, device.runs():
        for number, part in enumerate(("gateway", "log", "worker")):
            device.publish(readings(SENSORS, 500 * number, 500 * (number + 1)))
            device.kill(part)
            assert device.ready_again(deaths=number + 1), device.said
        device.publish(readings(SENSORS, 1500, 2000))
        expected = {n / 100 for n in range(2000)}
        seen: set[float] = set()

        def all_there() -> bool:
            seen.update(one["value"] for one in arrived(upstream, "plant.sensors.readings"))
            return expected <= seen

        assert eventually(all_there, within_s=60, every_s=0.5), (len(expected - seen), device.said)
        with heard(device.mqtt_port, "verdicts/+") as told:
            device.publish([("boiler", {"value": 900.5, "timestamp": round(time.time() * 1000), "sensor_type": "co2"})])
            hot = {"value": 900.5, "timestamp": round(time.time() * 1000), "sensor_type": "temperature"}
            device.publish([("kettle", hot)])
            assert eventually(lambda: "verdicts/kettle" in dict(told), within_s=60), device.said
    with connect(Address(port=clickhouse.port, database=database)) as client:
        sql = "SELECT value, count() FROM readings_final WHERE sensor_id LIKE 'pump-%' GROUP BY value"
        stored = dict(tuple(row) for row in query(client, sql, max_rows=5_000).rows)
    assert stored.keys() == expected
    assert sum(stored.values()) <= len(expected) + 500, "again only what was on its way when the log was killed"
    assert not processes_in(tmp_path)
