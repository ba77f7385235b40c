"""Sensors that are silent for long are forgotten, told of, and start afresh when they come back."""

import numpy as np

from flows.settings import Assets, Detector, Duration
from tests.operators.engine import T0_MS, Engine, tumbling

EVICT_S = 600
DETECTORS = (
    Detector(name="level", kind="models.deviation.Deviation"),
    Detector(name="trees", kind="river.anomaly.HalfSpaceTrees", params={"n_trees": 2, "height": 3}),
)


def engine() -> Engine:
    return Engine(
        windows=[tumbling("t", 10, "sensor_id")],
        detectors=DETECTORS,
        assets=Assets(by="location", tick=Duration(1000)),
        evict_after=EVICT_S,
        forget_after=60,
        dedup_horizon=60,
    )


def values(sensor: str, begin: int, end: int, step: int = 5) -> list[tuple[str, int, float]]:
    return [(sensor, second, float(np.sin(second))) for second in range(begin, end, step)]


def test_one_that_comes_back_is_new() -> None:
    gone = engine()
    gone.feed("t/0", *values("a", 0, 300), *values("b", 0, 300))
    gone.feed("t/0", *values("b", 300, 1300))
    gone.feed("t/0", ("a", 1300, 2.0), ("b", 1300, 2.0))
    (back,) = [
        row for row in gone.tables.final("readings") if row["sensor_id"] == "a" and row["time"] == T0_MS + 1_300_000
    ]
    assert np.isnan(list(back["scores"].values())).all(), "detectors know nothing of it"
    (told,) = [row for row in gone.tables.final("events") if row["kind"] == "evicted"]
    assert told["subject"] == "t/0/0"
    assert told["detail"] == "1 sensors silent for quality.evict_after are forgotten: a"
    assert told["time"] % (EVICT_S * 1000) == 0


def test_what_is_kept_is_bounded_while_sensors_come_and_go() -> None:
    """Each sensor speaks for five minutes, then another one comes."""
    passing = engine()
    sizes = []
    for number in range(60):
        passing.feed("t/0", *values(f"s{number}", 300 * number, 300 * (number + 1)))
        shard = passing.state("shard", "t/0/0")
        sizes.append((shard.nbytes, len(repr(shard.snapshot()[3]))))
    assert max(sizes[30:]) <= (1.05 * sizes[15][0], 1.3 * sizes[15][1])
    readings = {row["sensor_id"] for row in passing.tables.final("readings")}
    assert len(readings) == 60
    counted = [row for row in passing.tables.final("windows") if row["count"]]
    assert len(counted) >= 60 * 29, "every window that has ended is there"
    assert all(row["count"] == 2 for row in counted)
    assert {row["sensor_id"] for row in counted} == readings


def test_batches_and_restarts_make_no_difference() -> None:
    rows = [*values("a", 0, 200), *values("b", 0, 2400, 20), *values("c", 1000, 1300), *values("a", 2000, 2300)]
    rows += [*values("c", 2350, 2400), ("b", 9000, 1.0), ("a", 9001, 2.0), ("b", 9100, 1.0)]
    rows.sort(key=lambda row: row[1])
    whole, parts = engine(), engine()
    whole.feed("t/0", *rows)
    for place, row in enumerate(rows):
        parts.feed("t/0", row)
        if place % 37 == 0:
            parts.restart()
    for table in ("readings", "windows", "events", "data_quality", "asset_verdicts"):
        assert repr(parts.tables.final(table)) == repr(whole.tables.final(table)), table
    evicted = [row["detail"].split(" ", 1)[0] for row in whole.tables.final("events") if row["kind"] == "evicted"]
    assert sorted(evicted) == ["1", "1", "3"]


def test_a_repeated_reading_is_still_known_after_others_were_forgotten() -> None:
    gone = engine()
    gone.feed("t/0", *values("a", 0, 100), *values("b", 0, 1300))
    gone.feed("t/0", ("new", 1295, 5.0), ("new", 1295, 5.0), ("b", 1296, 7.0), ("b", 1296, 7.0))
    gone.feed("t/0", ("b", 1320, 1.0))
    assert [row["value"] for row in gone.tables.final("readings") if row["sensor_id"] == "new"] == [5.0]
    assert sum(row["duplicates"] for row in gone.tables.final("ledger") if row["stage"] != "source") == 2
