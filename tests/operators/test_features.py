"""Feature vectors by hand."""

import numpy as np

from operators.features import FEATURE_NAMES, Features


def vectors(features: Features, *rows: tuple[int, int, float, bool]) -> list[list[float]]:
    """Rows of (slot, time in ms, value, in order)."""
    slot, time_ms, value, in_order = zip(*rows, strict=True)
    found: list[list[float]] = features.take_in(
        np.array(slot, np.int64), np.array(time_ms, np.int64), np.array(value, np.float64), np.array(in_order, np.bool_)
    ).tolist()
    return found


def test_differences_to_the_reading_before() -> None:
    features = Features()
    features.grow(2)
    assert FEATURE_NAMES == ("value", "delta", "rate_per_s")
    found = vectors(
        features,
        (0, 1000, 5.0, True),
        (1, 1000, 1.0, True),
        (0, 3000, 9.0, True),
        (0, 2000, 7.0, False),
        (0, 4000, 8.0, True),
    )
    np.testing.assert_equal(found[0], [5, np.nan, np.nan])
    np.testing.assert_equal(found[1], [1, np.nan, np.nan])
    assert found[2] == [9, 4, 2]
    np.testing.assert_equal(found[3], [7, np.nan, np.nan])
    assert found[4] == [8, -1, -1], "the one out of order was not remembered"


def test_values_at_the_ends_of_doubles_raise_nothing() -> None:
    features = Features()
    features.grow(1)
    assert vectors(features, (0, 0, -1.7e308, True), (0, 1, 1.7e308, True))[1] == [1.7e308, np.inf, np.inf]


def test_goes_on_from_a_snapshot() -> None:
    features, again = Features(), Features()
    features.grow(1)
    vectors(features, (0, 0, 1.0, True))
    again.load(features.snapshot())
    again.grow(2)
    vectors(features, (0, 500, 9.0, True))
    assert vectors(again, (0, 1000, 4.0, True)) == [[4, 3, 3]]
