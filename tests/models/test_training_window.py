"""Training windows against the rule in plain Python, whatever the order in which rows come."""

import pickle
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.detector import Batch
from models.training_window import TrainingWindows, packed, unpacked

WIDTH = 2


def batch(rows: list[int], slots: list[int]) -> Batch:
    """Running numbers and sensors -> readings whose features tell the running number; types are slot % 2."""
    numbers, sensors = np.array(rows, np.int64), np.array(slots, np.int64)
    features = np.column_stack([numbers, -numbers]).astype(np.float64)
    return Batch(sensors, numbers * 0, features[:, 0], features, sensors % 2, numbers)


def numbers(windows: TrainingWindows, group: int) -> list[int]:
    return [int(row[0]) for row in windows.training(group)] if group < len(windows) else []


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.data())
def test_keeps_the_rows_with_the_largest_running_numbers(data: st.DataObject) -> None:
    windows = TrainingWindows(width=WIDTH, size=5)
    taken: dict[int, list[tuple[int, int]]] = {0: [], 1: []}
    forgotten: set[int] = set()
    rows = data.draw(st.permutations(range(data.draw(st.integers(0, 40)))))
    while rows:
        count = data.draw(st.integers(1, 8))
        now, rows = rows[:count], rows[count:]
        slots = data.draw(st.lists(st.integers(0, 3), min_size=len(now), max_size=len(now)))
        windows.take(batch(now, slots))
        for row, slot in zip(now, slots, strict=True):
            taken[slot % 2].append((row, slot))
        if data.draw(st.booleans()):
            gone = data.draw(st.integers(0, 3))
            windows.forget(np.array([gone]))
            forgotten |= {row for row, slot in taken[gone % 2] if slot == gone}
        if data.draw(st.booleans()):
            restored = TrainingWindows(width=WIDTH, size=5)
            restored.load(pickle.loads(pickle.dumps(windows.state())))
            windows = restored
    for group, known in taken.items():
        newest = sorted(row for row, _ in known)[-5:]
        assert numbers(windows, group) == [row for row in newest if row not in forgotten]
        assert (windows.newest(group) if group < len(windows) else -1) == max(newest, default=-1)


def test_a_row_that_lacks_a_feature_is_not_taken() -> None:
    windows = TrainingWindows(width=WIDTH, size=5)
    some = batch([1, 2, 3], [0, 2, 4])
    some.features[1, 1] = np.nan
    windows.take(some)
    assert numbers(windows, 0) == [1, 3]


@pytest.mark.parametrize("value", [0.0, 0.7, -1013.37, 1e-300, 3e38])
def test_features_keep_sixteen_significant_bits(value: float) -> None:
    windows = TrainingWindows(width=1, size=5)
    zero = np.zeros(1, np.int64)
    windows.take(Batch(zero, zero, np.array([value]), np.array([[value]]), zero, zero))
    assert windows.training(0)[0, 0] == pytest.approx(value, rel=2**-15, abs=1e-37)


def test_packing_keeps_what_a_window_keeps_and_compresses() -> None:
    rng = np.random.default_rng(0)
    windows = TrainingWindows(width=12, size=1000)
    for row in range(1000):
        zero = np.zeros(1, np.int64)
        windows.take(Batch(zero, zero, np.zeros(1), rng.normal(0.5, 0.125, (1, 12)), zero, zero + row))
    rows = windows.training(0)
    np.testing.assert_array_equal(unpacked(packed(rows)), rows)
    assert len(zlib.compress(packed(rows).tobytes(), 1)) < 0.6 * rows.nbytes
    assert windows.nbytes <= 1250 * (4 * 12 + 12) + 8
