"""Feature vectors by hand and against plain numpy."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.detector import Batch, Floats, Slots, check_state
from models.importing import KindError
from models.scaling import WARM_UP
from models.slots import resized
from operators.features import FEATURE_NAMES, MOST_FLAT, SHORT, WINDOW, Features, Vectors, load_feature

AT = {name: place for place, name in enumerate(FEATURE_NAMES)}


def features_of(*zones: str, own: tuple[str, ...] = ()) -> Features:
    features = Features([load_feature(path) for path in own])
    features.enrol(np.arange(len(zones)), zones)
    return features


def vectors(features: Features, *rows: tuple[int, int, float, bool]) -> Vectors:
    """Rows of (slot, time in ms, value, in order)."""
    slot, time_ms, value, in_order = zip(*rows, strict=True)
    return features.take_in(
        np.array(slot, np.int64), np.array(time_ms, np.int64), np.array(value, np.float64), np.array(in_order, np.bool_)
    )


def of_one(features: Features, values: list[float]) -> Vectors:
    """Readings of slot 0, a second apart."""
    return vectors(features, *((0, second * 1000, value, True) for second, value in enumerate(values)))


def test_differences_to_the_reading_before() -> None:
    found = vectors(
        features_of("", ""),
        (0, 1000, 5.0, True),
        (1, 1000, 1.0, True),
        (0, 3000, 9.0, True),
        (0, 2000, 7.0, False),
        (0, 4000, 8.0, True),
    ).raw[:, :3]
    np.testing.assert_equal(found[0], [5, np.nan, np.nan])
    np.testing.assert_equal(found[1], [1, np.nan, np.nan])
    assert found[2].tolist() == [9, 4, 2]
    np.testing.assert_equal(found[3], [7, np.nan, np.nan])
    assert found[4].tolist() == [8, -1, -1], "the one out of order was not remembered"


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=100), st.sampled_from([0.0, 1e6]))
def test_rolling_features_against_numpy(steps: list[int], offset: float) -> None:
    values = np.array(steps) / 4 + offset
    raw = of_one(features_of(""), values.tolist()).raw
    for i in range(len(values)):
        before = values[max(0, i - WINDOW) : i]
        found = raw[i, AT["mean"] : AT["flatness"]]
        if i < SHORT:
            assert np.isnan(found).all()
            continue
        wanted = [before.mean(), before.std(), np.ptp(before), values[i - SHORT + 1 : i + 1].mean() - before.mean()]
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-9)


def test_flatness_counts_equal_readings_in_a_row() -> None:
    flatness = of_one(features_of(""), [1.0, 1.0, 1.0, 2.0, 1.0, 1.0]).raw[:, AT["flatness"]]
    assert flatness.tolist() == [1, 2, 3, 1, 1, 2]
    assert of_one(features_of(""), [1.0] * (MOST_FLAT + 5)).raw[-1, AT["flatness"]] == MOST_FLAT


@pytest.mark.parametrize("zone", ["", "Europe/Berlin", "Asia/Kolkata", "America/New_York"])
def test_time_of_day_and_week_are_local(zone: str) -> None:
    features = features_of(zone, "Pacific/Auckland")
    for moment in ("2026-01-05T00:00", "2026-03-29T00:59", "2026-03-29T01:00", "2026-07-15T13:37", "2026-10-25T01:30"):
        time = datetime.fromisoformat(moment).replace(tzinfo=UTC)
        local = time.astimezone(ZoneInfo(zone or "UTC"))
        found = vectors(features, (0, round(time.timestamp() * 1000), 1.0, True)).raw[0]
        day = 2 * np.pi * (local.hour * 60 + local.minute) / 1440
        week = (2 * np.pi * local.weekday() + day) / 7
        wanted = [np.sin(day), np.cos(day), np.sin(week), np.cos(week)]
        np.testing.assert_allclose(found[AT["hour_sin"] :], wanted, atol=1e-12)


def test_scaled_features_say_where_a_number_stands_in_its_sensors_past() -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(100, 2, 500), [100, 104, 96, 200, 0]])
    found = of_one(features_of(""), values.tolist())
    known = np.isfinite(found.scaled.sum(axis=1))
    assert known.argmax() == SHORT + WARM_UP
    assert known[known.argmax() :].all()
    np.testing.assert_allclose(found.scaled[-5:, 0], [0.5, 0.75, 0.25, 1.0, 0.0], atol=0.04)
    assert ((found.scaled[known] >= 0) & (found.scaled[known] <= 1)).all()


def test_a_fault_hardly_moves_the_scale_and_a_new_normal_is_reached() -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(0, 1, 500), np.full(20, 1000.0), rng.normal(0, 1, 5), rng.normal(50, 1, 4000)])
    scaled = of_one(features_of(""), values.tolist()).scaled[:, 0]
    assert np.abs(scaled[520:525] - 0.5).max() < 0.45
    assert abs(scaled[-500:].mean() - 0.5) < 0.15


@pytest.mark.parametrize(("step", "end"), [(1.0, 1.0), (-1.0, 0.0)])
def test_of_constant_values_the_same_is_in_the_middle_and_another_at_the_end(step: float, end: float) -> None:
    scaled = of_one(features_of(""), [5.0] * 60 + [5.0 + step]).scaled[:, 0]
    assert scaled[-2:].tolist() == [0.5, end]


@pytest.mark.parametrize("extreme", [1.7e308, 5e-324])
def test_values_at_the_ends_of_doubles_raise_nothing(extreme: float) -> None:
    found = of_one(features_of(""), [-extreme, extreme] * 40)
    assert not np.isinf(found.raw[:, 1:]).any()
    assert not np.isinf(found.scaled).any()


def test_batches_do_not_matter_and_it_goes_on_from_a_snapshot() -> None:
    rng = np.random.default_rng(2)
    rows = [
        (int(rng.integers(3)), 1000 * i, round(float(rng.normal()), 1), bool(rng.random() < 0.9)) for i in range(300)
    ]
    own = ("tests.operators.test_features.Doubled",)
    whole = vectors(features_of("", "Asia/Kolkata", "", own=own), *rows)
    features = features_of("", "Asia/Kolkata", "", own=own)
    parts = []
    for begin in range(0, 300, 7):
        parts.append(vectors(features, *rows[begin : begin + 7]))
        again = features_of("", "Asia/Kolkata", "", own=own)
        again.load(features.snapshot())
        features = again
    np.testing.assert_array_equal(np.concatenate([part.raw for part in parts]), whole.raw)
    np.testing.assert_array_equal(np.concatenate([part.scaled for part in parts]), whole.scaled)


class Doubled:
    """A feature of one's own: twice the value, and the value before."""

    names = ("twice", "before")
    units = ("of the value", "of the value")

    def __init__(self) -> None:
        self._last: Floats = np.empty(0)

    def grow(self, sensors: int) -> None:
        self._last = resized(self._last, sensors, np.nan)

    def extract(self, batch: Batch) -> Floats:
        return np.column_stack([2 * batch.values, self._last[batch.slots]])

    def remember(self, batch: Batch) -> None:
        self._last[batch.slots] = batch.values

    def reset(self, slots: Slots) -> None:
        self._last[slots] = np.nan

    @property
    def nbytes(self) -> int:
        return self._last.nbytes

    def state(self) -> dict[str, object]:
        return {"version": 1, "last": self._last.copy()}

    def load(self, state: dict[str, object]) -> None:
        check_state(state, version=1)
        self._last = np.array(state["last"], np.float64)


def test_features_of_ones_own_follow() -> None:
    features = features_of("", "", own=("tests.operators.test_features.Doubled",))
    assert features.names == (*FEATURE_NAMES, "twice", "before")
    found = vectors(features, (0, 0, 1.0, True), (0, 1, 2.0, True), (1, 1, 7.0, True), (0, 0, 5.0, False)).raw[:, 12:]
    np.testing.assert_equal(found, [[2, np.nan], [4, 1], [14, np.nan], [np.nan, np.nan]])
    assert features_of("").names == FEATURE_NAMES


class Wrong(Doubled):
    """Gives one column of two."""

    def extract(self, batch: Batch) -> Floats:
        return batch.values[:, None]


class Failing(Doubled):
    """Raises."""

    def extract(self, batch: Batch) -> Floats:
        raise RuntimeError("no such\nthing")


class Taken(Doubled):
    """Takes a name that is taken."""

    names = ("value", "before")


def test_a_wrong_feature_is_told_at_start() -> None:
    here = "tests.operators.test_features"
    for name, told in {
        "Wrong": r"shape \(n, 2\)",
        "Failing": "a trial with one reading failed: RuntimeError: no such thing",
        "Taken": "names other than value",
        "RollingZ": "needs the parameter|no parameter|not a feature",
    }.items():
        with pytest.raises(KindError, match=told):
            load_feature(f"{here}.{name}" if name != "RollingZ" else "models.rolling_z.RollingZ")
