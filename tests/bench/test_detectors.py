"""The measurement of detection: all detectors in one table, scores equal to River's on the way, targets said."""

from dataclasses import replace
from io import StringIO

import msgspec
from rich.console import Console

from flows.settings import Detector, Settings
from tests.bench import detection
from tests.bench.detectors import TREES, BesideRiver, Candidate, beside_river, measure, show
from tests.bench.judging import Judging
from tests.bench.targets import show_targets

CANDIDATES = (
    Candidate("z", "models.rolling_z.RollingZ"),
    Candidate("trees", "river.anomaly.HalfSpaceTrees", {"n_trees": 2, "height": 3, "window_size": 20}, ("value",)),
)
GOOD = Judging(batch_us=4.0, alone_us=90.0, catch_up_us=30.0, memory_bytes=8000.0, snapshot_bytes=2000.0)
RIVER = BesideRiver(twin_us=0.5, river_us=50.0, same=True)


def test_costs_are_measured_and_shown() -> None:
    costs = measure(CANDIDATES, repeat=1, warm_up=25)
    assert [one.name for one in costs] == ["z", "trees"]
    assert all(min(one.score_us, one.learn_us, one.alone_us, one.snapshot_bytes) > 0 for one in costs)
    assert [one.memory_bytes for one in costs] == [61 * 8, 2 * 8 * 3 + 24]
    out = StringIO()
    show(costs, Console(file=out, width=120))
    assert sum(line.startswith("  z ") and f" {61 * 8} " in line for line in out.getvalue().splitlines()) == 1


def test_the_twin_is_compared_with_river_on_the_same_readings() -> None:
    found = beside_river({"n_trees": 2, "height": 3, "window_size": 5}, features=2, repeat=1)
    assert found.same
    assert found.times > 0


def test_all_of_detection_is_measured_and_told() -> None:
    out = StringIO()
    trees = {"n_trees": 2, "height": 3, "window_size": 5}
    first, *_ = Settings().detectors
    few = (first, Detector(name="trees", kind=TREES, features=("value", "delta"), params=trees))
    settings = msgspec.structs.replace(Settings(), detectors=few)
    detection.run(settings, repeat=1, console=Console(file=out, width=120), warm_up=3)
    lines = out.getvalue().splitlines()
    assert "z-score: models.rolling_z.RollingZ" in lines
    assert sum(line.startswith(("reached", "missed")) for line in lines) == 6
    assert any("scores the same to the bit" in line for line in lines)


def test_what_is_wanted_is_said_to_be_reached_or_missed() -> None:
    assert [reached for reached, _ in detection.targets(RIVER, GOOD, 5.0)] == [True] * 6
    bad = replace(GOOD, batch_us=5.1, alone_us=101.0, memory_bytes=8193.0, snapshot_bytes=2049.0)
    assert [reached for reached, _ in detection.targets(RIVER, bad, 1000.0)] == [True] + [False] * 5
    assert not detection.targets(replace(RIVER, twin_us=2.0), GOOD, 5.0)[0][0]
    out = StringIO()
    show_targets(detection.targets(replace(RIVER, same=False), GOOD, 5.0)[:2], Console(file=out, width=40))
    assert out.getvalue().splitlines() == [
        "missed   HalfSpaceTrees 0.50 µs a reading, 100 x River's 50.0, at least 30 x wanted; scores DIFFER",
        "reached  4.00 µs a reading for all of detection in batches of 1,000 from as many sensors, at most 5 wanted",
    ]
