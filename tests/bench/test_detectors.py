"""The measurement of detectors: all that were asked for in one table, and scores equal to River's on the way."""

from io import StringIO

from rich.console import Console

from tests.bench.detectors import BesideRiver, Candidate, beside_river, measure, show

CANDIDATES = (
    Candidate("z", "models.rolling_z.RollingZ"),
    Candidate("trees", "river.anomaly.HalfSpaceTrees", {"n_trees": 2, "height": 3, "window_size": 20}, ("value",)),
)


def test_costs_are_measured_and_shown_with_their_sum() -> None:
    costs = measure(CANDIDATES, repeat=1, warm_up=25)
    assert [one.name for one in costs] == ["z", "trees"]
    assert all(min(one.score_us, one.learn_us, one.alone_us, one.snapshot_bytes) > 0 for one in costs)
    assert [one.memory_bytes for one in costs] == [61 * 8, 2 * 8 * 3 + 24]
    out = StringIO()
    show(costs, BesideRiver(twin_us=0.5, river_us=50.0, same=True), Console(file=out, width=120))
    lines = out.getvalue().splitlines()
    assert sum(line.startswith("  all ") and f" {61 * 8 + 72} " in line for line in lines) == 1
    assert any("100 times as fast, target 30; scores the same to the bit" in line for line in lines)


def test_the_twin_is_compared_with_river_on_the_same_readings() -> None:
    found = beside_river({"n_trees": 2, "height": 3, "window_size": 5}, features=2, repeat=1)
    assert found.same
    assert found.times > 0


def test_a_difference_or_a_slow_twin_is_said() -> None:
    out = StringIO()
    show([], BesideRiver(twin_us=5.0, river_us=50.0, same=False), Console(file=out, width=120))
    assert "missed HalfSpaceTrees 5.00 µs, River 50.0 µs: 10 times as fast, target 30; scores DIFFER" in out.getvalue()
