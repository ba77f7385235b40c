"""Event time over partitions: idle ones, adopted time, restarts. Windows of 10 s show what is closed."""

import pytest

from operators.clock import PartitionClock
from operators.intake import NO_WATERMARK, IntakeBatch
from tests.operators.engine import Engine, tumbling

WINDOW = [tumbling("t", 10)]


def a(*seconds: float) -> list[tuple[str, float, float]]:
    return [("a", second, second) for second in seconds]


def events(engine: Engine) -> list[tuple[str, str]]:
    return [(row["kind"], row["subject"]) for row in engine.tables.final("events")]


def test_a_partition_without_readings_holds_nothing_back() -> None:
    engine = Engine("t/0", "t/1", windows=WINDOW)
    engine.feed("t/0", *a(0, 12))
    assert engine.windows("t") == [], "nothing is known of t/1 yet"
    engine.idle("t/1")
    assert engine.windows("t") == [(0, "x", 1)]
    assert events(engine) == []


def test_an_idle_partition_adopts_the_time_of_the_slowest_active_one() -> None:
    # t/0   0 ..................... 35
    # t/1   1          22
    # t/2   2   idle                        adopts 20, whole panes only: 21 would be on time, 19 is not
    engine = Engine("t/0", "t/1", "t/2", windows=WINDOW)
    engine.feed("t/2", *a(2))
    engine.feed("t/0", *a(0, 35))
    engine.feed("t/1", *a(1, 22))
    assert engine.windows("t") == []
    engine.idle("t/2")
    assert engine.windows("t") == [(0, "x", 3), (10, "x", 0)]
    engine.feed("t/2", ("c", 19, 1.0), ("c", 21, 1.0))
    assert engine.qualities()[-2:] == ["after_idle", "ok"]
    assert events(engine) == [("idle", "t/2"), ("resumed", "t/2")]
    engine.feed("t/1", *a(40))
    assert engine.windows("t")[-1] == (10, "x", 0), "t/2 is active again and stands at 21"
    engine.feed("t/2", ("c", 30, 1.0))
    assert engine.windows("t")[-1] == (20, "x", 2)


def test_when_all_are_idle_nothing_closes() -> None:
    engine = Engine("t/0", "t/1", windows=WINDOW)
    engine.feed("t/0", *a(0, 9))
    engine.feed("t/1", *a(0, 5))
    engine.idle("t/0", "t/1")
    assert engine.windows("t") == []
    engine.feed("t/0", *a(12))
    assert engine.windows("t") == [(0, "x", 4)], "t/1 is still idle"


def test_adopted_time_never_goes_back() -> None:
    engine = Engine("t/0", "t/1", "t/2", windows=WINDOW)
    engine.feed("t/0", *a(0, 35))
    engine.idle("t/1", "t/2")
    assert engine.windows("t")[-1][0] == 20
    engine.feed("t/2", ("c", 31, 1.0))
    engine.feed("t/1", ("b", 29, 1.0), ("b", 30, 1.0))
    assert [(row["sensor_id"], row["quality"]) for row in engine.tables.final("readings")][2:] == [
        ("b", "after_idle"),
        ("b", "ok"),
        ("c", "ok"),
    ]


def test_after_a_restart_nobody_is_idle_until_its_source_says_so() -> None:
    # t/1 was idle; while the flow was down it got a reading at 12. t/0 is read first and stands at 50.
    engine = Engine("t/0", "t/1", windows=WINDOW)
    engine.feed("t/0", *a(0, 11))
    engine.feed("t/1", ("b", 1, 1.0))
    engine.idle("t/1")
    assert engine.windows("t") == [(0, "x", 2)]
    engine.restart()
    engine.feed("t/0", *a(50))
    engine.feed("t/1", ("b", 12, 1.0))
    assert engine.qualities()[-1] == "ok"
    engine.idle("t/1")
    assert engine.windows("t")[1] == (10, "x", 2)
    assert engine.windows("t")[-1][0] == 40


def test_nor_are_the_others_of_whom_it_knew() -> None:
    # t/2 is idle after the restart, t/1 is not: t/2 may not adopt more than t/1's time
    engine = Engine("t/0", "t/1", "t/2", windows=WINDOW)
    engine.feed("t/0", *a(0, 11))
    engine.idle("t/1", "t/2")
    engine.restart()
    engine.idle("t/2")
    engine.feed("t/0", *a(50))
    assert engine.windows("t")[-1][0] == 0
    engine.feed("t/2", ("c", 12, 1.0))
    assert engine.qualities()[-1] == "ok"


def test_a_partition_that_was_added_is_waited_for() -> None:
    engine = Engine("t/0", windows=WINDOW)
    engine.feed("t/0", *a(0, 11))
    engine.restart(sources=["t/1"])
    engine.feed("t/0", *a(25))
    assert engine.windows("t") == [(0, "x", 1)]
    engine.idle("t/1")
    assert engine.windows("t") == [(0, "x", 1), (10, "x", 1)]


@pytest.mark.parametrize("shards", [1, 3])
def test_the_ledger_agrees_as_soon_as_a_partition_is_idle(shards: int) -> None:
    engine = Engine("t/0", "t/1", windows=WINDOW, shards=shards, lateness_s=1)
    engine.feed("t/0", ("a", 1, 1.0), ("b", 2, 1.0), ("b", 2, 1.0), ("c", 2, 1.0), ("a", 0, 5.0), ("c", 2, 7.0))
    engine.idle("t/0")
    rows = engine.tables.final("ledger")
    assert sum(row.get("readings", 0) for row in rows) == 6
    assert sum(row.get("on_time", 0) for row in rows) == 4
    assert [sum(row.get(name, 0) for row in rows) for name in ("late", "duplicates", "conflicts")] == [1, 1, 1]


def test_time_only_batches_go_to_all_shards_when_a_pane_ends() -> None:
    clock = PartitionClock("t/0", sources=("t/0",), pane_ms=10, shards=3, generation=0)

    def batch(watermark_ms: int) -> IntakeBatch:
        return IntakeBatch("t", 0, None, None, (), watermark_ms, False)

    assert clock.watermark_ms == NO_WATERMARK
    assert [one.shard for one in clock.on_batch(batch(5)).shards] == ["t/0/0", "t/0/1", "t/0/2"]
    assert clock.on_batch(batch(9)).shards == []
    assert {one.watermark_ms for one in clock.on_batch(batch(30)).shards} == {30}
