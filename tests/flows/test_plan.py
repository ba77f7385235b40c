"""`streamgauge plan`: consistent with what was measured, monotone, honest about the rest."""

import json
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from flows.plan import BUSY, Constants, Measured, Plan, TableCost, Wanted, constants, predict
from flows.settings import Duration, Settings, Window
from operators.records import TABLES
from tests.flows.commands import streamgauge

DAY_S = 86_400.0
KNOWN = constants()


def told(sensors: int = 10_000, rate: float = 5_000.0, **more: Any) -> Plan:
    return predict(KNOWN, Wanted(sensors, rate, more.pop("retention_s", 30 * DAY_S), **more), Settings())


def test_the_constants_say_where_they_come_from() -> None:
    assert KNOWN.machine
    assert KNOWN.date.startswith("20")
    assert [one.sensors for one in KNOWN.measured] == [1_000, 10_000, 100_000]
    assert KNOWN.tables.keys() <= TABLES.keys()
    assert all(min(one.rate, one.cpu_us, one.peak_mb, one.store_mb) > 0 for one in KNOWN.measured)


@pytest.mark.parametrize("one", KNOWN.measured, ids=lambda one: str(one.sensors))
def test_what_was_measured_is_what_is_told_of_it(one: Measured) -> None:
    rate = one.sensors / one.interval_s / 20  # so that one process is enough
    plan = told(one.sensors, rate)
    assert plan.processes == 1
    assert plan.memory_mb_each == pytest.approx(one.peak_mb)
    assert plan.full_speed == pytest.approx(one.rate)
    assert plan.store_mb == pytest.approx(one.store_mb)


def test_more_never_needs_less() -> None:
    # Processor time of a reading is less with many sensors than with few; all else is not.
    of_sensors = ("memory_mb", "store_mb", "store_mb_s", "kafka_bytes_a_day")
    of_rate = ("cores", "processes", "partitions", "memory_mb", "kafka_bytes_a_day", "clickhouse_cores")
    sizes = [told(sensors, 1_000) for sensors in (100, 1_000, 5_000, 10_000, 50_000, 100_000, 200_000)]
    rates = [told(10_000, rate) for rate in (10, 1_000, 10_000, 20_000, 50_000)]
    for steps, names in ((sizes, of_sensors), (rates, of_rate)):
        for one, other in pairwise(steps):
            for name in names:
                assert getattr(one, name) <= getattr(other, name) * 1.000001, name
            assert one.processes * BUSY >= one.cores


def test_tables_grow_with_time_and_copies() -> None:
    month, year = told(), told(retention_s=360 * DAY_S)
    assert month.tables["readings"].rows_a_day == 5_000 * DAY_S
    assert year.tables["readings"].bytes_kept == pytest.approx(12 * month.tables["readings"].bytes_kept)
    assert year.tables["windows"] == month.tables["windows"]
    twice = told(replication=2)
    assert twice.tables["readings"].bytes_kept == 2 * month.tables["readings"].bytes_kept
    assert twice.kafka_bytes_a_day == 2 * month.kafka_bytes_a_day
    # A row a minute and sensor, and those of 100 groups: one a minute, one every 30 s.
    assert month.tables["windows"].rows_a_day == pytest.approx((10_000 + 100 + 200) * 1_440)
    assert told(assets=50).tables["asset_verdicts"].rows_a_day == 50 * DAY_S / 5
    assert all(one.parts_a_minute <= 66 * month.processes for one in month.tables.values())
    assert told(10, 0.1).tables["readings"].parts_a_minute == pytest.approx(6)


def test_what_is_not_known_is_said() -> None:
    assert any("beyond is guessed" in line for line in told(500, 100).not_known)
    assert not any("beyond is guessed" in line for line in told(10_000, 5_000).not_known)
    assert any("every 1,000 s" in line for line in told(10_000, 10).not_known)
    windows = (Window(name="w", size=Duration(1_000), by=("sensor_id",)),)
    own = msgspec.structs.replace(Settings(), windows=windows)
    plan = predict(KNOWN, Wanted(10_000, 5_000, DAY_S), own)
    assert any("what your windows cost" in line for line in plan.not_known)
    assert plan.cores > told().cores  # 10,000 rows of windows a second
    assert plan.tables["windows"].rows_a_day == 10_000 * DAY_S


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--sensors", "0", "--rate", "5"), "sensors: must be more than 0"),
        (("--sensors", "5", "--rate", "-1"), "rate: must be more than 0"),
        (("--sensors", "5", "--rate", "1e9"), "and a cluster has 4 at most: divide the sensors"),
        (("--sensors", "5", "--rate", "5", "--retention", "soon"), "expected a duration with its unit"),
    ],
)
def test_a_mistake_is_told(given: tuple[str, ...], said: str) -> None:
    run = streamgauge("plan", *given)
    assert run.returncode == 2
    assert said in " ".join(run.stderr.replace("│", " ").split())


def test_for_people_and_for_programs() -> None:
    given = ("plan", "--sensors", "10000", "--rate", "5000", "--retention", "90d")
    shown = streamgauge(*given)
    assert shown.returncode == 0, shown.stderr
    for word in (KNOWN.date, "worker processes", "MB each", "partitions", "windows", "together", "not known:"):
        assert word in shown.stdout
    read = json.loads(streamgauge(*given, "--json").stdout)
    assert read.pop("measured")["machine"] == KNOWN.machine
    assert read == json.loads(json.dumps(asdict(told(retention_s=90 * DAY_S))))


def test_sizes_between_those_measured_lie_between_them() -> None:
    table = {name: TableCost(1, 1) for name in KNOWN.tables}
    measured = (
        Measured(1_000, 2, 10**6, 200_000, 5, 300, 5, 1),
        Measured(10_000, 2, 10**6, 100_000, 10, 400, 30, 1),
        Measured(100_000, 2, 10**7, 50_000, 20, 1_300, 300, 1),
    )
    made = Constants("m", 1.0, "2026-01-01", "3.11", measured, 1, table, 200, 2_000, 1.7)
    plan = predict(made, Wanted(55_000, 100, DAY_S), Settings())
    assert plan.memory_mb_each == pytest.approx(850)
    assert plan.full_speed == pytest.approx(1e6 / 15)
    beyond = predict(made, Wanted(200_000, 100, DAY_S), Settings())
    assert beyond.memory_mb_each == pytest.approx(2_300)
