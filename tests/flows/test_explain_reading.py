"""Asking for the reasons of a verdict that the flow has stored."""

import json
import re
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import replace
from math import log10
from pathlib import Path

import numpy as np
import pytest
from bytewax.testing import run_main

from flows import sensors
from flows.explain_reading import EACH_SIDE, explain
from flows.settings import Assets, Detector, Duration, Settings
from flows.settings import Features as FeatureSettings
from infra.clickhouse import migrate
from infra.clickhouse.client import Address, connect
from infra.clickhouse.reading import UnknownReading
from infra.clickhouse.sink import ClickHouseSink
from infra.embedded.clickhouse import EmbeddedClickHouse
from operators.features import Features
from tests.flows.commands import streamgauge
from tests.operators.test_features import Doubled
from tests.ports import MemoryTables, Message, list_ports

T0_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z, a Thursday."""
SPIKE = 150
SETTINGS = Settings(
    detectors=(
        Detector("forecast", "models.forecast.SeasonalForecast"),
        Detector("z-score", "models.rolling_z.RollingZ", role="rule", threshold=4.0),
    ),
    features=FeatureSettings(own=("tests.operators.test_features.Doubled",)),
    assets=Assets(tick=Duration(1000), warm_up=60),
)


def readings() -> list[tuple[int, float]]:
    """(time in ms, value) as sent: a spike, one reading out of order, one late and one twice."""
    values = np.random.default_rng(5).normal(20, 0.5, 200).round(3)
    values[SPIKE] = 90.0
    rows = [(T0_MS + 1000 * row, float(value)) for row, value in enumerate(values)]
    rows[120] = (rows[120][0] - 2500, rows[120][1])
    rows[130] = (rows[130][0] - 60_000, rows[130][1])
    return [*rows, rows[-1]]


@pytest.fixture(scope="module")
def address(clickhouse: EmbeddedClickHouse) -> Iterator[Address]:
    """Where the verdicts of a flow over `readings` are."""
    address = Address(port=clickhouse.port, database=f"explained_{uuid.uuid4().hex[:8]}")
    with connect(address) as client:
        migrate.init(client)
    labels = {"sensor_type": "temperature", "unit": "°C", "location": "hall", "asset_id": "plant"}
    messages = [
        Message(json.dumps({"sensor_id": sensor, "value": value, "timestamp": at, **labels}).encode(), T0_MS + 10**9)
        for at, value in readings()
        for sensor in ("pump-7", "pump-8")
    ]
    ports = replace(list_ports({"t/0": messages}, MemoryTables(), close_at_end=True), tables=ClickHouseSink(address))
    run_main(sensors.build(SETTINGS, ports))
    yield address
    with connect(address) as client:
        client.command(f"DROP DATABASE `{address.database}`", use_database=False)


def test_the_nearest_reading_is_explained_from_its_past(address: Address) -> None:
    found = explain(SETTINGS, address, sensor_id="pump-7", time_ms=T0_MS + 1000 * SPIKE + 400)
    assert (found.stored.reading["value"], found.stored.away_ms, found.stored.twins) == (90.0, -400, 0)
    said = {row["detector"]: row for row in found.stored.detectors}
    assert said["z-score"]["flagged"]
    assert said["z-score"]["raw_score"] > 4
    assert said["forecast"]["flagged"]
    assert said["forecast"]["surprise"] >= found.threshold == pytest.approx(log10(7 * 86_400))
    assert found.stored.reading["expected_high"] < 90
    values = [value for _, value in readings()]
    assert [row["value"] for row in found.around] == values[SPIKE - EACH_SIDE : SPIKE + EACH_SIDE + 1]
    time_ms, value = (np.array(column) for column in zip(*readings()[: SPIKE + 1], strict=True))
    flow = Features([Doubled()])
    flow.enrol(np.zeros(1, np.int64), [""])
    in_order = np.arange(SPIKE + 1) != 120
    in_order[130] = False
    wanted = flow.take_in(np.zeros(SPIKE + 1, np.int64), time_ms, value, in_order).raw[-1]
    np.testing.assert_array_equal([one.value for one in found.features], wanted)
    assert [one.name for one in found.features] == list(flow.names)
    assert all(one.unit for one in found.features)


@pytest.fixture
def env(address: Address, tmp_path: Path) -> dict[str, str]:
    """Settings that point at it."""
    return {
        "STREAMGAUGE_DATA_DIR": str(tmp_path),
        "STREAMGAUGE_CLICKHOUSE__PORT": str(address.port),
        "STREAMGAUGE_CLICKHOUSE__DATABASE": address.database,
    }


def asked(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return streamgauge("explain-reading", *arguments, env=env)


def test_it_is_shown_with_detectors_features_and_neighbours(env: dict[str, str]) -> None:
    shown = asked(env, "pump-7", "2026-01-01 01:02:30", "--zone", "Europe/Berlin")
    assert shown.returncode == 0, shown.stderr
    said, detectors, features, around = (
        {line.split()[0]: line.split()[1:] for line in block.splitlines()}
        for block in re.split(r"\n\s*\n(?:what|its|around).*\n", shown.stdout)
    )
    assert shown.stdout.startswith("pump-7 at 2026-01-01 01:02:30.000 CET: 90 °C, the time asked for\n")
    assert " ".join(said["verdict"]) == "anomaly: the models together are in alarm"
    assert " ".join(said["asset"]).startswith("plant in alarm, score")
    assert "pump-7 (" in " ".join(said["asset"])
    assert (detectors["z-score"][0], detectors["z-score"][-1]) == ("rule", "yes")
    assert "125" in detectors["range"]
    assert (detectors["range"][-1], detectors["stuck"][-1]) == ("no", "no")
    assert features["value"][0] == "90"
    assert features["hour_sin"][1] == "1"
    assert around["→"][:3] == ["2026-01-01", "01:02:30.000", "CET"]
    assert shown.stdout.count("2026-01-01 01:02:") == 2 * EACH_SIDE + 2


def test_a_reading_that_was_late_says_so(env: dict[str, str]) -> None:
    shown = asked(env, "pump-7", "2026-01-01T00:01:10Z")
    assert "1 more at the same time" in shown.stdout
    assert "late" in shown.stdout


@pytest.mark.parametrize(
    ("sensor", "time", "says"),
    [
        ("pmp-7", "2026-01-01T00:00:00Z", "no reading of it is stored; did you mean pump-7 or pump-8?"),
        ("7", "2026-01-01T00:00:00Z", "did you mean pump-7?"),
        ("fan", "2026-01-01T00:00:00Z", "there are 2, such as pump-7"),
        ("pump-7", "2026-01-03T00:00:00Z", "go from 2026-01-01T00:00:00Z to 2026-01-01T00:03:19Z"),
    ],
)
def test_what_is_not_there_is_one_line(env: dict[str, str], sensor: str, time: str, says: str) -> None:
    shown = asked(env, sensor, time)
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr.startswith("error ")
    assert shown.stderr.count("\n") == 1
    assert says in shown.stderr


def test_a_time_that_is_none_is_wrong_usage(env: dict[str, str]) -> None:
    assert asked(env, "pump-7", "soon").returncode == 2


def test_without_readings_it_says_so(clickhouse: EmbeddedClickHouse, database: str) -> None:
    address = Address(port=clickhouse.port, database=database)
    with connect(address) as client:
        migrate.init(client)
    with pytest.raises(UnknownReading, match="no readings are stored yet"):
        explain(Settings(), address, sensor_id="pump-7", time_ms=T0_MS)
