"""A database as it is after a day at work: a real flow over simulated sensors, and what people and time add to it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from clickhouse_connect.driver.client import Client

from infra.clickhouse.client import Address
from infra.embedded.broker import Broker
from infra.simulate.config import SimulationConfig
from infra.simulate.simulation import Simulation
from tests.kafka import new_topic
from tests.running import BEGIN_MS, Site, create_tables, produce

MINUTES = 30
END_MS = BEGIN_MS + MINUTES * 60_000
DEPLOYED_MS = BEGIN_MS + 20 * 60_000


@dataclass(frozen=True, kw_only=True)
class Seeded:
    """Where the rows are. from_ms, to_ms: event times that hold all of them, Unix milliseconds."""

    address: Address
    client: Client
    from_ms: int = BEGIN_MS - 60_000
    to_ms: int = END_MS

    @property
    def worst_sensor(self) -> str:
        """The one with the most anomalies."""
        sql = "SELECT sensor_id FROM readings WHERE is_anomaly GROUP BY sensor_id ORDER BY count() DESC LIMIT 1"
        return str(self.client.command(sql))


def run_flow(broker: Broker, clickhouse_port: int, home: Path, database: str) -> Site:
    """Half an hour of fourteen sensors, with faults, disorder and broken payloads, through a worker."""
    topic = new_topic(broker, partitions=2)
    site = Site(home=home, bootstrap=broker.bootstrap, topic=topic, clickhouse_port=clickhouse_port, database=database)
    create_tables(site)
    config = SimulationConfig(
        sensors=14,
        rate=14.0,
        locations=("server_room", "factory_floor"),
        fault_share=0.08,
        bad_share=0.01,
        disorder=0.02,
        seed=5,
    )
    produce(broker.bootstrap, topic, Simulation(config).batch(BEGIN_MS, END_MS))
    site.run_to_end("--close", ASSETS__WARM_UP="60", QUALITY__STUCK_AFTER="1m")
    return site


def add_what_people_and_time_add(client: Client) -> None:
    """Alerts in every state, acknowledged and silenced ones; drift, model changes, restarts, silence."""
    known = (
        "SELECT sensor_id, any(sensor_type), any(location) FROM readings GROUP BY sensor_id "
        "ORDER BY countIf(is_anomaly) DESC, sensor_id"
    )
    sensors = client.query(known).result_rows
    columns = (
        "(alert_id, started_at, version, state, ended_at, updated_at, severity, rule, sensor_id, sensor_type, location,"
        " peak_score, reason)"
    )
    severities = ("info", "warning", "critical")
    for number, (sensor, kind, location) in enumerate(sensors[:9]):
        start_ms = BEGIN_MS + (3 + 2 * number) * 60_000
        open_ = number in (2, 5, 7, 8)
        ended = "NULL" if open_ else f"fromUnixTimestamp64Milli({start_ms + 90_000 + number * 10_000})"
        rule = ("anomaly", "silent")[number % 2]
        client.command(
            f"INSERT INTO alerts {columns} VALUES ('alert-{number}', fromUnixTimestamp64Milli({start_ms}), {number},"
            f" '{'open' if open_ else 'resolved'}', {ended}, fromUnixTimestamp64Milli({start_ms + 60_000}),"
            f" '{severities[number % 3]}', '{rule}', '{sensor}', '{kind}', '{location}', {3 + number},"
            " 'far from what is usual')"
        )
    sensor, kind, location = sensors[-1]
    client.command(
        "INSERT INTO data_quality (sensor_id, kind, start, end, sensor_type, location) VALUES "
        f"('{sensor}', 'silent', fromUnixTimestamp64Milli({END_MS - 90_000}), NULL, '{kind}', '{location}')"
    )
    act(client, "ack", "alert-2", DEPLOYED_MS, "ada")
    act(client, "silence", "alert-5", DEPLOYED_MS, "bob")
    for minute, kind, subject, detail in (
        (5, "drift", sensors[0][0], "forecast: the scores have risen for good"),
        (10, "model_change", "isolation forest", "fitted anew on 4096 readings"),
        (15, "idle", "topic/0", "silent for 30 s"),
        (16, "resumed", "topic/0", "speaks again"),
        (20, "restart", "topic/0", "goes on from offset 9000"),
        (21, "model_change", "autoencoder", "version 2026-01-01T00:00Z"),
        (25, "degraded", "memory", "4 % left"),
    ):
        at = f"fromUnixTimestamp64Milli({BEGIN_MS + minute * 60_000})"
        client.command(
            "INSERT INTO events (time, kind, subject, detail) VALUES "
            f"({at}, {{kind:String}}, {{subject:String}}, {{detail:String}})",
            parameters={"kind": kind, "subject": subject, "detail": detail},
        )


def act(client: Client, action: str, alert: str, at_ms: int, actor: str) -> None:
    """What somebody did about an alert."""
    client.command(
        "INSERT INTO alert_actions (action_id, at, action, alert_id, actor, comment) VALUES "
        f"(generateUUIDv4(), fromUnixTimestamp64Milli({at_ms}), '{action}', '{alert}', '{actor}', 'seen')"
    )


def utc(ms: int) -> str:
    """Epoch milliseconds as `--since` takes them."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
