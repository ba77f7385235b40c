"""`streamgauge check`: is everything there that a flow needs?"""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.check_edges import check_channels, check_http, check_mqtt
from flows.commands.check_schemas import check_schemas
from flows.commands.common import Invocation
from flows.commands.findings import Findings
from flows.find import find
from flows.parts import named_detectors
from flows.places import clickhouse_address, connection
from flows.recovery import Layout, read_layout
from flows.settings import Http, Mqtt, Settings
from infra.clickhouse import schema_check
from infra.clickhouse.client import connect
from infra.kafka.admin import partition_counts, sample_keys
from infra.registry import read_file
from models.cost import cost_per_sensor
from operators.aggregates import load_aggregate
from operators.panel import NamedDetector

_DEAR_BYTES = 8_000
"""Memory a sensor from which a detector is worth a word."""
_MANY_SENSORS = 10_000
"""Without a registry file nobody has said how many there are."""


def check(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The flow that is to run.")] = "sensors",
) -> None:
    """Try out configuration, broker, topics, keys, ClickHouse and schema, and the edges that are configured.

    Each line is ok, or what to do.

    **Example**: `streamgauge check`
    """
    invocation: Invocation = context.obj
    findings = Findings()
    with findings.looking_at("configuration") as say:
        settings = invocation.settings
        file = invocation.config or Path("streamgauge.toml")
        say(str(file) if file.exists() else "defaults and environment")
    if findings.wrong:
        raise typer.Exit(1)
    _check_flow(findings, name, settings)
    _check_kafka(findings, settings)
    _check_clickhouse(findings, settings)
    if settings.schemas.url:
        check_schemas(findings, settings)
    if settings.mqtt != Mqtt():
        check_mqtt(findings, settings.mqtt)
    if settings.http != Http():
        check_http(findings, settings.http)
    check_channels(findings, settings)
    raise typer.Exit(1 if findings.wrong else 0)


def _check_flow(findings: Findings, name: str, settings: Settings) -> None:
    with findings.looking_at(f"flow {name}"):
        find(name)
    with findings.looking_at("detectors") as say:
        detectors = named_detectors(settings)
        say(", ".join(d.name for d in detectors) or "none")
        _check_cost(findings, detectors, settings)
    if settings.aggregates:
        with findings.looking_at("aggregates") as say:
            say(", ".join(load_aggregate(path).name for path in settings.aggregates))
    if settings.registry.file:
        with findings.looking_at(f"registry {settings.registry.file}") as say:
            say(f"{len(read_file(Path(settings.registry.file))):,} sensors")
    with findings.looking_at(f"recovery store {settings.worker.recovery_dir}") as say:
        found = read_layout(Path(settings.worker.recovery_dir), Layout.of(name, settings))
        say("will be made" if found is None else "fits")


def _check_cost(findings: Findings, detectors: list[NamedDetector], settings: Settings) -> None:
    """What detectors that are dear for a sensor cost for all of them."""
    file = settings.registry.file
    sensors = len(read_file(Path(file))) if file else _MANY_SENSORS
    for one in detectors:
        cost = cost_per_sensor(one.detector, features=len(one.features))
        if cost.memory_bytes > _DEAR_BYTES:
            memory_mb, snapshot_mb = cost.memory_bytes * sensors / 1e6, cost.snapshot_bytes * sensors / 1e6
            findings.warn(
                f"detector {one.name}: {cost.memory_bytes:,} bytes a sensor in memory, {cost.snapshot_bytes:,} in a "
                f"snapshot; for {sensors:,} sensors {memory_mb:,.0f} MB and {snapshot_mb:,.0f} MB"
            )


def _check_kafka(findings: Findings, settings: Settings) -> None:
    kafka = connection(settings)
    for topic in settings.kafka.topics:
        with findings.looking_at(f"topic {topic} at {settings.kafka.bootstrap}") as say:
            say(f"{partition_counts(kafka, [topic])[topic]} partitions")
            keys = sample_keys(kafka, topic)
            if None in keys:
                findings.warn(
                    f"topic {topic}: messages without a key; key them by sensor_id to keep a sensor in one partition"
                )
            if several := sorted(k.decode(errors="replace") for k, at in keys.items() if k is not None and len(at) > 1):
                findings.warn(
                    f"topic {topic}: {len(several)} keys are in several partitions ({', '.join(several[:3])}, ...): a "
                    "sensor is judged apart in each; were partitions added, or do producers partition otherwise?"
                )


def _check_clickhouse(findings: Findings, settings: Settings) -> None:
    address = clickhouse_address(settings)
    with findings.looking_at(f"ClickHouse at {address}") as say, connect(address) as client:
        say(f"version {client.server_version}, database {address.database}")
        with findings.looking_at("tables"):
            schema_check.check(client)
