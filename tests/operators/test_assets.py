"""Verdicts on assets: the same rows however readings come, as from a plain computation tick by tick."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
import pytest

from flows.settings import Assets, Duration, EventTime, Settings, Window
from models.asset import AssetModel
from operators.assets import AssetShard, AssetTicks, TickStore
from operators.batches import Series
from operators.state import pack, unpack
from tests.operators.engine import T0_MS, Engine, Row, tumbling
from tests.ports import ABORT, Item, MemoryTables, Message, list_ports
from tests.property.harness import Harness

LATENESS_S = 4
WARM_UP = 60
SENSORS = {
    "a/0": [("p-temp", "pump"), ("p-flow", "pump"), ("free", ""), ("m-load", "motor")],
    "a/1": [("p-vib", "pump"), ("p-flow", "pump"), ("m-temp", "motor"), ("lone", "fan")],
}
"""Of each partition; p-flow sends to both."""


Reading = dict[str, Any]
"""As sent."""


def readings(rng: Random, *, seconds: int) -> dict[str, list[Reading]]:
    """Noise with a fault of the pump's flow; up to LATENESS_S out of order, and now and then far too late."""
    partitions = {}
    for source, sensors in SENSORS.items():
        sent = []
        for second in range(seconds):
            for name, asset in sensors:
                for part in range(rng.choice([0, 1, 1, 2])):
                    fault = 6.0 if name == "p-flow" and 0.6 < second / seconds < 0.7 else 0.0
                    time_ms = T0_MS + 1000 * second + 400 * part + rng.randrange(300)
                    arrives = second + rng.random() * (LATENESS_S - 1)
                    value = rng.gauss(20, 1) + fault
                    one = {
                        "sensor_id": name,
                        "asset_id": asset,
                        "location": "hall",
                        "value": value,
                        "timestamp": time_ms,
                    }
                    sent.append((arrives, one))
                    if rng.random() < 0.01:
                        sent.append((arrives + 2 * LATENESS_S, one | {"value": 1e6, "timestamp": time_ms - 60_000}))
        partitions[source] = [one for _, one in sorted(sent, key=lambda pair: pair[0])]
    return partitions


def plain(partitions: Mapping[str, Sequence[Reading]], *, tick_ms: int, by: str) -> dict[tuple[str, int], Any]:
    """(asset, tick start) -> (sensors, score, is_anomaly): dictionaries and one call of the model per tick."""
    ticks: dict[int, dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    for sent in partitions.values():
        newest = 0
        for one in sent:
            newest = max(newest, one["timestamp"])
            if one["timestamp"] >= newest - 1000 * LATENESS_S and one[by]:
                ticks[one["timestamp"] // tick_ms][one[by], one["sensor_id"]].append(one["value"])
    members: dict[tuple[str, str], int] = {}
    assets: dict[str, int] = {}
    model, rows = AssetModel(warm_up=WARM_UP), {}
    for tick, values in sorted(ticks.items()):
        for pair in sorted(values.keys() - members.keys()):
            members[pair] = len(members)
            model.grow(np.array([assets.setdefault(pair[0], len(assets))]))
        ordered = sorted(values, key=lambda pair: (assets[pair[0]], members[pair]))
        means = np.array([sum(values[pair]) / len(values[pair]) for pair in ordered])
        verdicts = model.judge(np.full(len(means), tick), np.array([members[pair] for pair in ordered]), means)
        for at, asset in enumerate(verdicts.asset.tolist()):
            if verdicts.score[at] == verdicts.score[at]:
                judged = int(verdicts.sensors[at]), float(verdicts.score[at]), bool(verdicts.is_anomaly[at])
                rows[list(assets)[asset], tick * tick_ms] = judged
    return rows


def run(partitions: Mapping[str, Sequence[Reading]], assets: Assets, seed: int, *, aborts: int = 0) -> MemoryTables:
    """The tables after one run in a random order, with crashes."""
    rng = Random(seed)
    settings = Settings(
        event_time=EventTime(lateness=Duration(1000 * LATENESS_S), shards_per_partition=2),
        windows=(Window(name="w", size=Duration(10_000), by=("location",)),),
        detectors=(),
        assets=assets,
    )
    items: dict[str, list[Item]] = {
        source: [Message(json.dumps(one).encode(), T0_MS + 10**9) for one in sent]
        for source, sent in partitions.items()
    }
    for _ in range(aborts):
        one = rng.choice(list(items.values()))
        one.insert(rng.randrange(len(one)), ABORT)
    tables = MemoryTables()
    ports = list_ports(items, tables, close_at_end=True)
    harness = Harness(settings, items, tables, rng=rng, ports=ports, snapshot=0.05)
    harness.run()
    harness.finish()
    return tables


@pytest.mark.parametrize(
    ("by", "tick_ms"), [("asset_id", 1000), ("asset_id", 7000), ("asset_id", 12_000), ("location", 1000)]
)
def test_rows_are_those_of_a_plain_computation_however_readings_come(by: Any, tick_ms: int) -> None:
    assets = Assets(by=by, tick=Duration(tick_ms), warm_up=WARM_UP)
    partitions = readings(Random(tick_ms), seconds=100 * tick_ms // 1000)
    expected = plain(partitions, tick_ms=tick_ms, by=by)
    tables = run(partitions, assets, seed=1)
    rows = tables.final("asset_verdicts")
    found = {(row[by], row["time"]): (row["sensors"], row["score"], row["is_anomaly"]) for row in rows}
    assert len(found) > 20
    assert {row["tick_ms"] for row in rows} == {tick_ms}
    assert found.keys() == expected.keys()
    for key, (sensors, score, is_anomaly) in expected.items():
        assert found[key] == (sensors, pytest.approx(score, rel=1e-9), is_anomaly)
    again = run(partitions, assets, seed=2, aborts=3)
    assert again.final("asset_verdicts") == rows


def alarms(engine: Engine) -> set[float]:
    """Seconds of the ticks in alarm."""
    return {(row["time"] - T0_MS) / 1000 for row in engine.tables.final("asset_verdicts") if row["is_anomaly"]}


def noise(
    seed: int, begin: int, end: int, *, fault: float = 0.0, asset: str = "press", location: str = ""
) -> list[Row]:
    """Three sensors of one asset, the second of which has a fault."""
    rng = Random(seed)
    labels = {"asset_id": "press", "location": location}
    return [
        (f"press-{k}", second, rng.gauss(0, 1) + (fault if k == 1 else 0.0), labels)
        for second in range(begin, end)
        for k in range(3)
    ]


def pressed(**assets: Any) -> Engine:
    """An engine that judges every second, sensors known after a minute."""
    judged = Assets(**({"tick": Duration(1000), "warm_up": WARM_UP} | assets))
    return Engine("t/0", windows=[tumbling("w", 10)], assets=judged, close_at_end=True)


def test_an_alarm_names_the_sensors_behind_it_and_quiet_ticks_name_none() -> None:
    engine = pressed()
    engine.feed("t/0", *noise(1, 0, 100), *noise(2, 100, 120, fault=8.0), *noise(3, 120, 200))
    engine.end()
    rows = engine.tables.final("asset_verdicts")
    assert [row["time"] for row in rows] == [T0_MS + 1000 * second for second in range(WARM_UP, 200)]
    assert {row["asset_id"] for row in rows} == {"press"}
    assert alarms(engine) >= set(range(103, 120))
    assert not alarms(engine) & {*range(100), *range(175, 200)}
    for row in rows:
        second = (row["time"] - T0_MS) // 1000
        if 105 <= second < 120:
            assert max(row["shares"], key=row["shares"].get) == "press-1"
            assert row["shares"]["press-1"] > 0.6
        assert bool(row["shares"]) == (row["is_anomaly"] or row["score"] >= 2)


def test_assets_are_judged_by_location_or_not_at_all() -> None:
    rows = noise(1, 0, 100, location="hall")
    by_location, nowhere = pressed(by="location"), pressed(by="none")
    for engine in (by_location, nowhere):
        engine.feed("t/0", *rows)
        engine.end()
    assert {(row["location"], row.get("asset_id")) for row in by_location.tables.final("asset_verdicts")} == {
        ("hall", None)
    }
    assert nowhere.tables.final("asset_verdicts") == []


def test_without_assets_nothing_is_kept_or_sent() -> None:
    store = TickStore(by="asset_id", tick_ms=1000, shards=8)
    store.enrol(np.arange(2), [Series("s1"), Series("s2", location="hall")])
    store.add(np.array([0, 1]), np.array([0, 1000]), np.array([1.0, 2.0]))
    assert store.messages(None) == {}
    assert store.snapshot()[-1] == ()


def test_ticks_are_judged_when_every_partition_has_passed_them() -> None:
    engine = Engine(
        "t/0", "t/1", windows=[tumbling("w", 10)], assets=Assets(tick=Duration(1000), warm_up=WARM_UP), lateness_s=0
    )
    engine.feed("t/0", *noise(1, 0, 200))
    assert engine.tables.final("asset_verdicts") == []
    engine.feed("t/1", ("other", 95, 1.0))
    assert max(row["time"] for row in engine.tables.final("asset_verdicts")) == T0_MS + 94_000
    engine.feed("t/1", ("other", 131, 1.0))
    assert max(row["time"] for row in engine.tables.final("asset_verdicts")) == T0_MS + 130_000


def test_a_restart_with_other_ticks_learns_afresh() -> None:
    kept = pressed()
    kept.feed("t/0", *noise(1, 0, 100))
    kept.restart()
    kept.feed("t/0", *noise(2, 100, 130))
    assert {row["time"] for row in kept.tables.final("asset_verdicts")} >= {T0_MS + 1000 * s for s in range(60, 120)}
    shard = AssetShard(by="asset_id", tick_ms=500, model=AssetModel(warm_up=WARM_UP))
    for (kind, _), state in kept.states.items():
        if kind == "window":
            shard.load(unpack(pack(state.snapshot()))[-2])
    assert shard.judge(None) == []


def test_a_tick_is_judged_once() -> None:
    """A partition added later may begin with old readings."""
    shard = AssetShard(by="asset_id", tick_ms=1000, model=AssetModel(warm_up=WARM_UP))
    sent, pairs = np.arange(100), [("a", "s1"), ("a", "s2")]
    tick, code = np.repeat(sent, 2), np.tile(np.array([0, 1], np.int32), 100)
    values = np.random.default_rng(0).normal(size=200)
    shard.add("t/0/0", AssetTicks(pairs, code, tick, values, np.ones(200, np.int64)))
    [rows] = shard.judge(90_000)
    shard.add("t/1/0", AssetTicks(pairs, code, tick, 100 * values, np.ones(200, np.int64)))
    [more] = shard.judge(95_000)
    assert [row["time"] for row in rows.to_dicts() + more.to_dicts()] == [1000 * t for t in range(WARM_UP, 95)]


def test_memory_is_counted() -> None:
    shard, store = (
        AssetShard(by="asset_id", tick_ms=1000, model=AssetModel()),
        TickStore(by="asset_id", tick_ms=1000, shards=1),
    )
    assert shard.nbytes == 0
    store.enrol(np.arange(2), [Series("s1", asset_id="a"), Series("s2", asset_id="a")])
    store.add(np.array([0, 1]), np.array([0, 1000]), np.array([1.0, 2.0]))
    shard.add("t/0/0", store.messages(None)[0])
    assert shard.nbytes == 2 * 4 * 8
    assert shard.judge(2000) == []
    assert shard.nbytes >= 2 * 72 + 24
