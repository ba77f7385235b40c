"""Windows on timelines small enough to do by hand; lateness is 0 unless said, so that time is the newest reading's."""

import numpy as np
import pytest

from operators.moments import Moments
from operators.panes import NOT_COARSE, PaneMessage, Partials, WindowSpec, pane_ms_of
from operators.registry import Registry, SensorInfo
from operators.sketch import Sketch
from operators.windows import WindowShard
from tests.operators.engine import Engine, Row, sliding, tumbling


def at(*seconds: float, sensor: str = "a") -> list[Row]:
    """A reading per second given; its value is the second."""
    return [(sensor, second, float(second)) for second in seconds]


@pytest.mark.parametrize("batches", [True, False])
def test_tumbling_and_sliding(batches: bool) -> None:
    # readings   0  4 |10      |   25        32
    # tumbling   [0,10)[10,20) [20,30)   closed: those that end by 32
    # sliding 20/10  [-10,10) [0,20) [10,30)
    engine = Engine(windows=[tumbling("t", 10), sliding("s", 20, 10)])
    engine.feed("t/0", *at(0, 4, 10, 25, 32), batches=batches)
    assert engine.windows("t") == [(0, "x", 2), (10, "x", 1), (20, "x", 1)]
    assert engine.windows("s") == [(-10, "x", 2), (0, "x", 3), (10, "x", 2)]
    assert engine.windows("s", "min", "max", "first", "last")[1] == (0, "x", 0, 10, 0, 10)
    assert engine.windows("s", "mean")[1] == (0, "x", pytest.approx(14 / 3))
    engine.feed("t/0", *at(40))
    assert engine.windows("s")[-1] == (20, "x", 2), "closed by the reading at its end"


def test_a_hop_that_does_not_divide_the_size() -> None:
    # panes of 5 s   0  5  10 15 20 25 30
    # 25/10          [-20,5) [-10,15) [0,25) [10,35)
    windows = [sliding("s", 25, 10)]
    assert pane_ms_of([WindowSpec("s", 25_000, 10_000, ("location",))]) == 5_000
    engine = Engine(windows=windows)
    engine.feed("t/0", *at(0, 7, 12, 24, 35))
    assert engine.windows("s") == [(-20, "x", 1), (-10, "x", 3), (0, "x", 4), (10, "x", 2)]


def test_readings_out_of_order_count_and_late_ones_do_not() -> None:
    # lateness 5, so after 12 time is 7: 8 is on time, 6 is late
    engine = Engine(windows=[tumbling("t", 10)], lateness_s=5)
    engine.feed("t/0", *at(3, 12, 8, 6, 20))
    assert engine.qualities() == ["ok", "ok", "out_of_order", "late", "ok"]
    assert engine.windows("t", "count", "last") == [(0, "x", 2, 8)]


def test_known_groups_without_readings_have_rows_until_they_are_forgotten() -> None:
    # a   0 1                                expected every second, forgotten 25 s after its last
    # b    2   10    20    30    40
    #    [0,10)[10,20)[20,30)[30,40)         20 < 1 + 25, 30 is not
    registry = Registry(sensors={"a": SensorInfo(interval_ms=1000)})
    engine = Engine(windows=[tumbling("t", 10, "sensor_id")], registry=registry, forget_after=25)
    engine.feed("t/0", *at(0, 1), *at(2, 10, 20, 30, 40, sensor="b"))
    rows = engine.windows("t", "count", "expected_count", "completeness")
    assert [row for row in rows if row[1] == "a"] == [(0, "a", 2, 10, 0.2), (10, "a", 0, 10, 0), (20, "a", 0, 10, 0)]
    empty = engine.windows("t", "mean", "min", "max", "stddev", "first", "last", "p50", "p95", "anomaly_count")[2]
    assert empty[:2] == (10, "a")
    assert np.isnan(empty[2:-1]).all()
    assert empty[-1] == 0
    assert [row[:3] for row in rows if row[1] == "b"] == [(0, "b", 1), (10, "b", 1), (20, "b", 1), (30, "b", 1)]


def test_a_learnt_interval() -> None:
    # a   0 2 4 6 8 | 10 12 .. 18 | 20        five distances are known from 10 on: too late for the first window
    engine = Engine(windows=[tumbling("t", 10)])
    engine.feed("t/0", *at(*range(0, 21, 2)))
    (_, _, first, share), (_, _, second, _) = engine.windows("t", "expected_count", "completeness")
    assert np.isnan([first, share]).all()
    assert second == 5


def test_completeness_is_at_most_one_and_unknown_when_one_interval_is() -> None:
    registry = Registry(sensors={"a": SensorInfo(interval_ms=5000), "b": SensorInfo(interval_ms=10_000)})
    engine = Engine(windows=[tumbling("t", 10)], registry=registry)
    engine.feed("t/0", *at(0, 1, 2), *at(3, 10, sensor="b"), *at(12, 20, sensor="c"))
    (_, _, expected, share), (_, _, unknown, no_share) = engine.windows("t", "expected_count", "completeness")
    assert (expected, share) == (3, 1), "4 readings, 2 + 1 expected"
    assert np.isnan([unknown, no_share]).all()


def test_the_first_windows_are_not_complete() -> None:
    # first reading at 4: what was before it is not known
    engine = Engine(windows=[tumbling("t", 10), sliding("s", 20, 10)])
    engine.feed("t/0", *at(4, 10, 20, 30, 40))
    assert engine.windows("t", "complete") == [(0, "x", False), (10, "x", True), (20, "x", True), (30, "x", True)]
    assert engine.windows("s", "complete")[:3] == [(-10, "x", False), (0, "x", False), (10, "x", True)]


def test_years_between_two_readings_cost_nothing() -> None:
    # a   0 ................... ten years; expected for 60 s, then nothing is
    engine = Engine(windows=[tumbling("t", 10), sliding("s", 60, 10)], forget_after=60)
    years = 10 * 365 * 86_400 - 100
    engine.feed("t/0", *at(0, years, years + 10))
    assert engine.windows("t") == [(0, "x", 1)] + [(s, "x", 0) for s in (10, 20, 30, 40, 50)] + [(years, "x", 1)]
    assert len(engine.windows("s")) == 6 + 5 + 1, "as long as a pane with a row lies within"


def test_partitions_meet() -> None:
    # t/0   0 ...... 30       time is the slower partition's
    # t/1      5 8 ........ 21
    engine = Engine("t/0", "t/1", windows=[tumbling("t", 10)])
    engine.feed("t/0", *at(0, 30))
    assert engine.windows("t") == []
    engine.feed("t/1", *at(5, 8, sensor="b"))
    assert engine.windows("t") == []
    engine.feed("t/1", *at(21, sensor="b"))
    assert engine.windows("t", "count", "first", "last")[0] == (0, "x", 3, 0, 8)


def test_ties_of_first_and_last_go_by_topic_partition_and_offset() -> None:
    engine = Engine("b/0", "a/1", "a/0", windows=[tumbling("t", 10)])
    for value, source in enumerate(("a/1", "b/0", "a/0")):
        engine.feed(source, (source, 3, float(value)), (source, 3.0, value + 10.0), (source, 10, 0.0))
    assert engine.windows("t", "first", "last") == [(0, "x", 2, 11)], "a/0 first, b/0's second last"


def test_close_at_end() -> None:
    engine = Engine(windows=[tumbling("t", 10), sliding("s", 20, 10)], close_at_end=True)
    engine.feed("t/0", *at(0, 12))
    engine.end()
    assert engine.windows("t") == [(0, "x", 1), (10, "x", 1)]
    assert engine.windows("s") == [(-10, "x", 1), (0, "x", 2), (10, "x", 1)]
    kept_open = Engine(windows=[tumbling("t", 10)])
    kept_open.feed("t/0", *at(0, 12))
    kept_open.end()
    assert kept_open.windows("t") == [(0, "x", 1)]


def test_nothing_at_all_can_be_closed() -> None:
    engine = Engine(windows=[tumbling("t", 10)], close_at_end=True)
    engine.feed("t/0")
    engine.end()
    assert engine.windows("t") == []


def test_an_added_window_says_what_it_lacks() -> None:
    # t/0   0  12  35 | restart |          41    52    its panes until 30 went off without sensor_id
    # t/1   5         |         |  11   36    52
    engine = Engine("t/0", "t/1", windows=[tumbling("t", 10)])
    engine.feed("t/0", *at(0, 12, 35))
    engine.feed("t/1", *at(5, sensor="b"))
    engine.restart(windows=[tumbling("t", 10), tumbling("added", 10, "sensor_id")])
    engine.feed("t/1", *at(11, 36, 52, sensor="b"))
    engine.feed("t/0", *at(41, 52))
    assert engine.windows("t")[:5] == [(0, "x", 2), (10, "x", 2), (20, "x", 0), (30, "x", 2), (40, "x", 1)]
    assert {row[2] for row in engine.windows("t", "complete")} == {True}
    complete = engine.windows("added", "count", "complete")
    assert (10, "b", 1, False) in complete
    assert (40, "a", 1, True) in complete
    assert all(flag == (start >= 35) for start, _, _, flag in complete)


def test_a_changed_window_starts_anew_under_its_name() -> None:
    engine = Engine(windows=[tumbling("w", 10)])
    engine.feed("t/0", *at(0, 12, 25))
    engine.restart(windows=[tumbling("w", 20)])
    engine.feed("t/0", *at(41, 60))
    assert engine.windows("w", "size_ms", "count", "complete")[-1] == (40, "x", 20_000, 1, True)
    assert (20, "x", 20_000, 1, False) in engine.windows("w", "size_ms", "count", "complete")


def test_finer_panes_keep_the_windows_there_were_exact() -> None:
    # pane 20, then 10; lateness 20, so at 45 the pane [20,40) is open and holds 21 and 38: too coarse for [20,30)
    engine = Engine(windows=[tumbling("kept", 20)], lateness_s=20)
    engine.feed("t/0", *at(0, 21, 38, 45))
    engine.restart(windows=[tumbling("kept", 20), tumbling("added", 10)])
    engine.feed("t/0", *at(29, 39, 62, 75, 81, 95, 120))
    assert engine.windows("kept") == [(0, "x", 1), (20, "x", 4), (40, "x", 1), (60, "x", 2), (80, "x", 2)]
    assert {row[2] for row in engine.windows("kept", "complete")} == {True}
    flags = engine.windows("added", "count", "complete")
    assert all(complete == (start >= 60) for start, _, _, complete in flags), "45 stood in a pane until 60"
    assert flags[-4:] == [(60, "x", 1, True), (70, "x", 1, True), (80, "x", 1, True), (90, "x", 1, True)]
    engine.restart()  # what is coarse is not forgotten
    engine.feed("t/0", *at(130))
    assert engine.windows("added", "complete")[-1] == (100, "x", True)


def test_aggregates_of_ones_own_are_resumed_by_name() -> None:
    ranges, sums = "operators.aggregates.Range", f"{__name__}.Sum"
    engine = Engine("t/0", "t/1", windows=[tumbling("t", 10)], aggregates=(ranges,))
    engine.feed("t/0", *at(1, 4, 14))
    engine.restart(aggregates=(sums, ranges))
    engine.feed("t/0", *at(17, 20))
    engine.feed("t/1", *at(9, 20, sensor="b"))
    assert engine.windows("t", "extra") == [
        (0, "x", {"range": 8, "sum": 9}),
        (10, "x", {"range": 3, "sum": 17}),
    ], "the sum knows what came after it was added"


class Sum:
    """Of another width than Range."""

    name = "sum"

    def initialize(self, n: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        return np.zeros((n, 1))

    def add(self, state, slots, values, time_ms) -> None:  # type: ignore[no-untyped-def]
        np.add.at(state[:, 0], slots, values)

    def merge(self, into, slots, other) -> None:  # type: ignore[no-untyped-def]
        np.add.at(into[:, 0], slots, other[:, 0])

    def result(self, state):  # type: ignore[no-untyped-def]
        return state[:, 0].copy()


def test_a_partition_that_is_gone_holds_nothing_back() -> None:
    window = WindowSpec("t", 10, 10, ("location",))
    moments, sketch = Moments(1), Sketch()
    moments.add([0], [1.0], [3], [0], [0], [False], partition=0)
    sketch.add([0], [1.0])
    partials = Partials(("location",), np.array([0]), [("x",)], moments, sketch, ())
    both = WindowShard(windows=[window], sources=["t/0/0", "t/1/0"])
    assert both.on_messages([PaneMessage("t/0/0", 10, 0, (partials,), NOT_COARSE)]) == []
    one = WindowShard(windows=[window], sources=["t/0/0"])
    one.load(both.snapshot())
    (rows,) = one.on_messages([PaneMessage("t/0/0", 20, 0, (), NOT_COARSE), PaneMessage("t/1/0", 5, 0, (), NOT_COARSE)])
    assert rows.to_dicts()[0]["count"] == 1
    assert one.nbytes == 0, "the pane is forgotten"
