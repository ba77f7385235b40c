"""How large must it be? Predictions from constants that `make bench ARGS="--only plan"` has measured.

CPU of a worker   = readings x what one costs with so many sensors + window rows x what one costs
memory, store     = what was measured with so many sensors, interpolated
ClickHouse        = rows of each table, from the settings and from what a simulated plant made, x bytes of a row
"""

import math
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import msgspec

from flows.recovery import STORE_PARTITIONS
from flows.settings import Settings
from infra.clickhouse.writer import INSERT_ROWS, REST_S
from operators.intake import LEDGER_BUCKET

FILE = Path(__file__).with_name("plan_constants.json")
"""Written by the benchmark, with machine and date."""

BUSY = 0.6
"""Share of a core that a worker process is to use, so that it can catch up after an outage."""
_MOST_TOLD = 1_000
_BUSY_LOAD = 8.0
_WARM_UP = 100
"""Readings of a sensor after which all detectors speak."""
_DAY_S = 86_400
_PARTITIONS = 4


class Measured(msgspec.Struct, frozen=True):
    """One worker process with so many sensors, each of which sends every interval_s, over so many readings.

    rate: readings in a second of its processor time at full speed, rows dropped. cpu_us: of a reading, rows stored in
    ClickHouse. peak_mb: largest memory of the process while it keeps up. store_mb: its recovery store. clickhouse_us:
    CPU of ClickHouse for a reading.
    """

    sensors: int
    interval_s: float
    readings: int
    rate: float
    cpu_us: float
    peak_mb: float
    store_mb: float
    clickhouse_us: float


class TableCost(msgspec.Struct, frozen=True):
    """bytes_a_row: on disk, merged. rows_a_reading: as the simulated plant made them."""

    bytes_a_row: float
    rows_a_reading: float


class Constants(msgspec.Struct, frozen=True):
    """What was measured, and on what.

    load: the machine's load average meanwhile. window_us: CPU of a row of `windows`. message_bytes: of a JSON reading
    in Kafka, before compression.
    state_bytes: of a sensor in a snapshot. written_for_a_byte: of state, into the recovery store, by
    `make bench ARGS="--only recovery"`.
    """

    machine: str
    load: float
    date: str
    python: str
    measured: tuple[Measured, ...]
    window_us: float
    tables: dict[str, TableCost]
    message_bytes: float
    state_bytes: float
    written_for_a_byte: float


class Wanted(msgspec.Struct, frozen=True):
    """rate: readings a second of all sensors together. groups: pairs of location and type, or what else windows are
    grouped by. retention_s: of readings. replication: copies in Kafka and ClickHouse."""

    sensors: int
    rate: float
    retention_s: float
    groups: int = 100
    assets: int = 0
    replication: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRows:
    """bytes_kept: on disk until retention deletes them, all copies. parts_a_minute: new ones, before merges."""

    rows_a_day: float
    bytes_a_day: float
    bytes_kept: float
    parts_a_minute: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """cores: that the worker processes use together. full_speed: readings a second with all of them, for catching up.

    memory_mb: of each process, and of all. store_mb, store_mb_s: the recovery store and what is written to it.
    """

    cores: float
    processes: int
    full_speed: float
    memory_mb_each: float
    memory_mb: float
    store_mb: float
    store_mb_s: float
    partitions: int
    kafka_bytes_a_day: float
    clickhouse_cores: float
    tables: dict[str, TableRows]
    not_known: list[str] = field(default_factory=list)


def constants(file: Path = FILE) -> Constants:
    """What was measured."""
    return msgspec.json.decode(file.read_bytes(), type=Constants)


def predict(known: Constants, wanted: Wanted, settings: Settings) -> Plan:
    """Raises ValueError, in words for people, when that is beyond what can be told."""
    for name in ("sensors", "rate", "retention_s", "groups", "replication"):
        if getattr(wanted, name) <= 0:
            raise ValueError(f"{name.removesuffix('_s')}: must be more than 0")
    window_rows = sum(_groups(window.by, wanted) * 1000 / window.hop_ms for window in settings.windows)
    counts = range(1, _MOST_TOLD + 1)
    processes = next((n for n in counts if _cores(known, wanted, window_rows, n) <= BUSY * n), _MOST_TOLD)
    if processes > STORE_PARTITIONS:
        raise ValueError(
            f"that takes about {processes} worker processes, and a cluster has {STORE_PARTITIONS} at most: "
            "divide the sensors over topics, with a flow of its own for each, and plan each"
        )
    cores = _cores(known, wanted, window_rows, processes)
    sensors_each = wanted.sensors / processes
    at_full_speed = 1e6 / _at(known, "rate", sensors_each, inverse=True)
    epoch_s = settings.worker.epoch.ms / 1000
    tables = _tables(known, wanted, settings, window_rows, processes)
    return Plan(
        cores=cores,
        processes=processes,
        full_speed=at_full_speed * processes,
        memory_mb_each=_at(known, "peak_mb", sensors_each),
        memory_mb=_at(known, "peak_mb", sensors_each) * processes,
        store_mb=_at(known, "store_mb", wanted.sensors),
        store_mb_s=wanted.sensors * known.state_bytes * known.written_for_a_byte / epoch_s / 1e6,
        partitions=max(_PARTITIONS, 2 * processes),
        kafka_bytes_a_day=wanted.rate * _DAY_S * known.message_bytes * wanted.replication,
        clickhouse_cores=wanted.rate * _at(known, "clickhouse_us", wanted.sensors) / 1e6 * wanted.replication,
        tables=tables,
        not_known=_not_known(known, wanted, settings, sensors_each),
    )


def _cores(known: Constants, wanted: Wanted, window_rows: float, processes: int) -> float:
    reading_us = _at(known, "cpu_us", wanted.sensors / processes)
    # What was measured holds the windows of its own rate already.
    measured_rows = wanted.rate * _window_rows_a_reading(known)
    return (wanted.rate * reading_us + max(0.0, window_rows - measured_rows) * known.window_us) / 1e6


def _window_rows_a_reading(known: Constants) -> float:
    return known.tables["windows"].rows_a_reading


def _at(known: Constants, name: str, sensors: float, *, inverse: bool = False) -> float:
    """A figure for so many sensors: on the line between the two sizes around it, beyond on that of the last two.

    A reading of few sensors may cost more than one of many: kernels are given less at a time. inverse: of a rate,
    microseconds a reading, which add up.
    """
    points = sorted((one.sensors, getattr(one, name)) for one in known.measured)
    if inverse:
        points = [(size, 1e6 / value) for size, value in points]
    if sensors <= points[0][0]:
        return float(points[0][1])
    (first, low), (last, high) = next(
        ((a, b) for a, b in pairwise(points) if sensors <= b[0]), (points[-2], points[-1])
    )
    # Beyond the largest never less than there.
    return float(max(low + (high - low) * (sensors - first) / (last - first), min(low, high)))


def _groups(by: tuple[str, ...], wanted: Wanted) -> int:
    if "sensor_id" in by:
        return wanted.sensors
    if by == ("topic",):
        return 1
    return min(wanted.groups, wanted.sensors)


def _tables(
    known: Constants, wanted: Wanted, settings: Settings, window_rows: float, processes: int
) -> dict[str, TableRows]:
    kept = settings.clickhouse.retention
    shards = 1 + settings.event_time.shards_per_partition
    rows_s = {name: cost.rows_a_reading * wanted.rate for name, cost in known.tables.items()}
    rows_s["readings"] = wanted.rate
    rows_s["windows"] = window_rows
    rows_s["asset_verdicts"] = wanted.assets * 1000 / settings.assets.tick.ms if wanted.assets else 0.0
    rows_s["ledger"] = wanted.rate / LEDGER_BUCKET * shards
    found = {}
    for name, cost in known.tables.items():
        seconds = {"readings": wanted.retention_s, "asset_verdicts": wanted.retention_s}.get(
            name, (kept.windows if name == "windows" else kept.others).ms / 1000
        )
        bytes_a_day = rows_s[name] * _DAY_S * cost.bytes_a_row
        found[name] = TableRows(
            rows_a_day=rows_s[name] * _DAY_S,
            bytes_a_day=bytes_a_day,
            bytes_kept=bytes_a_day * seconds / _DAY_S * wanted.replication,
            parts_a_minute=_parts(rows_s[name], settings, processes),
        )
    return found


def _parts(rows_s: float, settings: Settings, processes: int) -> float:
    """Each insert makes one: for so many rows, or once in a while, and at every epoch; but none without rows."""
    full = rows_s * 60 / INSERT_ROWS
    timed = (60 / REST_S + 60_000 / settings.worker.epoch.ms) * processes
    return min(rows_s * 60, max(full, timed))


def _not_known(known: Constants, wanted: Wanted, settings: Settings, sensors_each: float) -> list[str]:
    sizes = sorted(one.sensors for one in known.measured)
    interval_s = known.measured[0].interval_s
    found = [
        f"your machine: cores are taken for such as were measured ({known.machine}, {known.date}); "
        'on yours run `make bench ARGS="--only plan"`',
        "what Kafka itself needs: the broker that was measured is the embedded one",
        "what queries and dashboards need of ClickHouse",
        "how well your values compress, how many alerts and faults there are: they are as in the simulator",
    ]
    if known.load > _BUSY_LOAD:
        found.append(
            f"times on a quiet machine: this one had a load average of {known.load:.0f}, so they are worst cases"
        )
    each = min(one.readings / one.sensors for one in known.measured)
    if each < _WARM_UP:
        found.append(
            f"what the largest plant costs once its detectors are warm: there each sensor had sent {each:,.0f} readings"
        )
    if not sizes[0] <= sensors_each <= sizes[-1]:
        found.append(
            f"{sensors_each:,.0f} sensors in a process: {sizes[0]:,} to {sizes[-1]:,} were measured, beyond is guessed"
        )
    if wanted.rate / wanted.sensors < 0.1 / interval_s:
        found.append(
            f"sensors that send as seldom as every {wanted.sensors / wanted.rate:,.0f} s: measured with every "
            f"{interval_s:g} s; small batches cost more a reading, and little altogether"
        )
    default = Settings()
    for name in ("windows", "detectors"):
        if getattr(settings, name) != getattr(default, name):
            found.append(f"what your {name} cost in a worker: measured with those by default")
    if math.isclose(wanted.assets, 0):
        found.append("assets: none were asked for (--assets)")
    return found
