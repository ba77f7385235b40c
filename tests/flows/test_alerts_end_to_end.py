"""Alerts through real Kafka into ClickHouse: a flapping sensor, a fault of a whole location, the same hour again.

s    0          300            900     1000  1060              2000
flap . . . . . . # . # . # . # . . . . . . . . . . . . . . . . .       one alert
hall . . . . . . . . . . . . . . . . . #######  . . . . . . . .        one alert on the hall, which inhibits four
"""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from infra.clickhouse.client import Address, connect
from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.kafka.producer import Producer
from tests.kafka import connection, new_topic, read
from tests.running import BEGIN_MS, Site, create_tables

HALL = [f"hall-{number}" for number in range(4)]
SENSORS = [*HALL, "flap", "steady"]
CUT_S, END_S = 1_050, 2_000
PARTITIONS = 4
# Out of range is an anomaly by itself.
SETTINGS = {"DETECTORS": "[]"}


def value_of(sensor: str, second: int) -> float:
    """Beyond 125 °C is out of range."""
    if sensor in HALL:
        return 200.0 if 1_000 <= second < 1_060 else 20.0 + second % 7
    flaps = sensor == "flap" and 300 <= second < 900 and second % 2 == 0
    return 300.0 if flaps else 21.0 + second % 5


def messages(begin_s: int, end_s: int) -> list[tuple[bytes, bytes, int]]:
    """A reading a second of each sensor."""
    found = []
    for second in range(begin_s, end_s):
        for sensor in SENSORS:
            time_ms = BEGIN_MS + second * 1_000
            reading = {
                **{"sensor_id": sensor, "sensor_type": "temperature", "location": sensor.split("-")[0], "unit": "°C"},
                **{"value": value_of(sensor, second), "timestamp": time_ms},
            }
            found.append((sensor.encode(), json.dumps(reading).encode(), time_ms))
    return found


@pytest.fixture
def site(tmp_path: Path, broker: Broker, clickhouse: EmbeddedClickHouse) -> Site:
    site = Site(
        home=tmp_path / "worker",
        bootstrap=broker.bootstrap,
        topic=new_topic(broker, partitions=PARTITIONS),
        clickhouse_port=clickhouse.port,
        database=f"alerts_{uuid.uuid4().hex[:8]}",
    )
    create_tables(site)
    return site


def current(site: Site) -> list[dict[str, Any]]:
    """Alerts with their times in seconds from the beginning."""
    seconds = ", ".join(
        f"(toUnixTimestamp64Milli({name}) - {BEGIN_MS}) / 1000 AS {name}_s" for name in ("started_at", "ended_at")
    )
    with connect(Address(port=site.clickhouse_port, database=site.database)) as client:
        rows = client.query(f"SELECT *, {seconds} FROM alerts_current ORDER BY rule, sensor_id, location, started_at")
        return list(rows.named_results())


def seen(rows: list[dict[str, Any]], *columns: str) -> list[tuple[Any, ...]]:
    """What an alert is about, and some of its columns."""
    return [(row["rule"], row["sensor_id"] or row["location"], *(row[name] for name in columns)) for row in rows]


def test_one_alert_for_a_flapping_sensor_one_for_a_location_and_none_for_a_replay(site: Site, broker: Broker) -> None:
    told = f"{site.topic}-alerts"
    settings = SETTINGS | {"KAFKA__ALERTS_TOPIC": told}
    with Producer(connection(broker)) as producer:
        producer.produce_many(site.topic, messages(0, CUT_S))
    site.run_to_end(**settings)
    grouped = ("anomalies in a location", "hall")
    assert seen(current(site), "status", "started_at_s", "ended_at_s", "sensors") == [
        (*grouped, "open", 1_000, None, 4),
        ("anomaly", "flap", "open", 300, None, 1),
        *(("anomaly", sensor, "inhibited", 1_000, None, 1) for sensor in HALL),
    ]

    with Producer(connection(broker)) as producer:
        producer.produce_many(site.topic, messages(CUT_S, END_S))
    site.run_to_end(**settings)
    rows = current(site)
    assert seen(rows, "state", "started_at_s", "ended_at_s", "severity") == [
        (*grouped, "resolved", 1_000, 1_120, "critical"),
        ("anomaly", "flap", "resolved", 300, 899, "warning"),
        *(("anomaly", sensor, "resolved", 1_000, 1_060, "warning") for sensor in HALL),
    ]
    assert [row["inhibited_by"] for row in rows] == ["", "", *[rows[0]["alert_id"]] * 4]
    flap = rows[1]
    assert flap["reason"].startswith("flap: anomaly since 2026-01-01T00:05:00Z, value 300 °C, flagged by range; over")
    evidence = json.loads(flap["evidence"])
    assert evidence["first"]["value"] == 300.0
    assert evidence["first"]["features"]["delta"] == pytest.approx(279, abs=5)
    assert {one["sensor_id"] for one in json.loads(rows[0]["evidence"])["sensors"]} == set(HALL)

    stored = site.stored("alerts")
    site.run_to_end(**settings, WORKER__RECOVERY_DIR=str(site.home / "another"))  # the same hours again
    assert repr(site.stored("alerts")) == repr(stored), "but for NaN, which equals nothing"

    changes = [
        json.loads(one.value() or b"")
        for part in range(PARTITIONS)
        for one in read(site.bootstrap, told, partition=part)
    ]
    assert {(one["alert_id"], one["state"]) for one in changes} == {
        (row["alert_id"], state) for row in stored for state in ("open", "resolved")
    }
    (resolved, *_) = [one for one in changes if one["sensor_id"] == "flap" and one["state"] == "resolved"]
    assert resolved["ended_at"] == "2026-01-01T00:14:59.000Z"
    assert resolved["evidence"] == evidence
