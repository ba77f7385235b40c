"""IsolationForest: the same scores whatever the batches, the restarts and the speed of the fits."""

import pickle
import zlib
from collections.abc import Callable
from concurrent.futures import Future
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import isolation_forest
from models.catalog import build
from models.detector import Batch, Detector, Floats, Scheduled, Versioned
from models.flat_forest import Forest, Woods
from models.forest_fit import fit
from models.importing import KindError
from models.isolation_forest import IsolationForest

WIDTH = 3
SENSORS = 6
SMALL: dict[str, Any] = {
    "window": 40,
    "min_rows": 12,
    "new_rows": 1,
    "every_ms": 10_000,
    "delay_ms": 4_000,
    "n_estimators": 3,
    "max_samples": 16,
    "contamination": 0.1,
}


class Fits:
    """In the place of the helper process: fits here, at once or only when somebody waits for it."""

    def __init__(self, *, at_once: bool = True) -> None:
        self.at_once = at_once
        self.requests: list[tuple[Any, ...]] = []
        self.failing: set[int] = set()

    def submit(self, request: tuple[Any, ...]) -> Future[Any]:
        number = len(self.requests)
        self.requests.append(request)
        future: Future[Any] = Future()

        def result(timeout: float | None = None) -> Any:
            if number in self.failing:
                raise RuntimeError("the helper is gone")
            return fit(*request)

        if self.at_once and number not in self.failing:
            future.set_result(result())
        else:
            future.result = result  # type: ignore[method-assign]
        return future


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> Fits:
    found = Fits()
    monkeypatch.setattr(isolation_forest, "shared", lambda: found)
    return found


def forest(**changes: Any) -> IsolationForest:
    detector = IsolationForest(tuple("abc"), **{**SMALL, **changes})
    detector.grow(SENSORS)
    return detector


def readings(rows: npt.ArrayLike, slots: npt.ArrayLike, time_ms: npt.ArrayLike) -> Batch:
    """Types are slot % 2; features follow from the running number."""
    numbers, sensors, times = (np.asarray(values, np.int64) for values in (rows, slots, time_ms))
    features = np.array([np.random.default_rng(row).uniform(size=WIDTH) for row in numbers]).reshape(-1, WIDTH)
    return Batch(sensors, times, features[:, 0], features, sensors % 2, numbers)


def taught(detector: IsolationForest, rows: range, *, slot: int = 0) -> None:
    """One reading after the other of one sensor."""
    for row in rows:
        detector.learn(readings([row], [slot], [0]))


Stream = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], dict[int, int]]
"""Sensor and event time of each row; before which rows a sensor is forgotten."""


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    """45 s and more of event time, with pauses of up to 25 s."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = rng.choice([0, 100, 200, 900], 250)
    for place in draw(st.lists(st.integers(0, 249), max_size=3)):
        steps[place] = draw(st.integers(1_000, 25_000))
    slots = rng.integers(0, draw(st.integers(1, SENSORS)), 250)
    resets = {row: int(slots[row]) for row in draw(st.lists(st.integers(0, 249), max_size=3))}
    return slots, np.cumsum(steps), resets


Told = list[tuple[int, int, str]]


def flowed(stream: Stream, cuts: set[int], restarts: set[int]) -> tuple[Floats, list[str], Told]:
    """Scores, versions and changes told, of a stream that comes in batches as a flow hands them over."""
    slots, times, resets = stream
    detector = forest()
    step_ms = detector.step_ms
    scores, versions, told = np.empty(len(slots)), [""] * len(slots), []
    now = int(times[0])
    crossings = (np.flatnonzero(np.diff(times // step_ms)) + 1).tolist()
    for begin, end in pairwise(sorted({0, len(slots), *cuts, *crossings})):
        if begin in restarts:
            state = pickle.loads(pickle.dumps(detector.state()))
            detector = forest()
            detector.load(state)
        if times[begin] // step_ms > now // step_ms:
            now = int(times[begin])
            told += [(now, *change) for change in detector.advance(now // step_ms * step_ms)]
        for rows in rounds(slots, range(begin, end)):
            for row in set(rows) & set(resets):
                detector.reset(np.array([resets[row]]))
            batch = readings(rows, slots[rows], times[rows])
            scores[rows] = detector.score(batch)
            detector.learn(batch)
        for row in range(begin, end):
            versions[row] = detector.version_of(int(slots[row]) % 2)
    return scores, versions, told


def rounds(slots: npt.NDArray[np.int64], rows: range) -> list[list[int]]:
    """Rows in rounds in which every sensor appears at most once."""
    made: list[list[int]] = []
    seen = [0] * SENSORS
    for row in rows:
        slot = int(slots[row])
        made += [[]] * (seen[slot] == len(made))
        made[seen[slot]] = [*made[seen[slot]], row]
        seen[slot] += 1
    return made


@settings(deadline=None, derandomize=True, max_examples=40)
@given(streams(), st.sets(st.integers(1, 249), max_size=30), st.sets(st.integers(1, 249), max_size=12), st.booleans())
def test_scores_depend_on_the_readings_alone(stream: Stream, cuts: set[int], restarts: set[int], at_once: bool) -> None:
    """Not on how they came in batches, on restarts, or on whether a fit was done long before it is in use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(isolation_forest, "shared", Fits)
        scores, versions, told = flowed(stream, set(range(250)), set())
        patch.setattr(isolation_forest, "shared", lambda: Fits(at_once=at_once))
        others, other_versions, other_told = flowed(stream, cuts | restarts, restarts)
    np.testing.assert_array_equal(others, scores)
    assert other_versions == versions
    assert other_told == told
    assert [version != "" for version in versions] == np.isfinite(scores).tolist()


def test_the_helper_process_fits_what_is_fitted_here(fits: Fits, monkeypatch: pytest.MonkeyPatch) -> None:
    stream: Stream = (np.arange(250) % SENSORS, np.arange(250) * 200, {})
    here = flowed(stream, set(), set())
    monkeypatch.undo()
    there = flowed(stream, set(), {40, 115})
    np.testing.assert_array_equal(there[0], here[0])
    assert there[1:] == here[1:]


def test_a_forest_is_in_use_from_a_set_time_after_its_fit_began(fits: Fits) -> None:
    detector = forest()
    assert isinstance(detector, Detector)
    assert isinstance(detector, Scheduled)
    assert isinstance(detector, Versioned)
    assert detector.step_ms == 2_000
    taught(detector, range(20))
    asked = readings([99], [2], [0])
    for time_ms in (10_000, 12_000):
        assert detector.advance(time_ms) == []
        assert np.isnan(detector.score(asked)).all()
        assert detector.version_of(0) == ""
    told = "isolation forest fitted on 20 rows up to 1970-01-01T00:00:10Z, in use from 1970-01-01T00:00:14Z"
    assert detector.advance(14_000) == [(0, told)]
    assert detector.version_of(0) == "1970-01-01T00:00:10Z"
    rows, trees, samples, seed = fits.requests[0]
    woods = Woods([Forest(*fit(rows, trees, samples, seed), samples)], trees=trees, max_samples=samples)
    np.testing.assert_array_equal(detector.score(asked), woods.score(asked.groups, asked.features))
    assert np.isnan(detector.score(readings([99], [1], [0]))).all(), "of another type"
    assert detector.version_of(1) == ""


@pytest.mark.parametrize(
    ("time_ms", "version"),
    [
        (1_795_600_000_000 // 60_000 * 60_000, "2026-11-25T09:46Z"),
        (1_795_600_001_000, "2026-11-25T09:46:41Z"),
        (5, "1970-01-01T00:00:00.005Z"),
    ],
)
def test_a_version_is_the_time_at_which_the_fit_began(fits: Fits, time_ms: int, version: str) -> None:
    detector = forest(every_ms=1, delay_ms=1)
    taught(detector, range(20))
    detector.advance(time_ms)
    detector.advance(time_ms + 1)
    assert detector.version_of(0) == version


def test_several_steps_at_once_are_like_one_by_one(fits: Fits) -> None:
    leaping, walking = forest(), forest()
    for detector in (leaping, walking):
        detector.advance(2_000)
        taught(detector, range(30))
    told = [change for time_ms in range(4_000, 62_000, 2_000) for change in walking.advance(time_ms)]
    assert leaping.advance(60_000) == told
    assert leaping.version_of(0) == walking.version_of(0) == "1970-01-01T00:00:10Z"
    assert pickle.dumps(leaping.state()) == pickle.dumps(walking.state())


def test_a_type_without_new_or_enough_rows_is_not_fitted(fits: Fits) -> None:
    detector = forest()
    taught(detector, range(11), slot=0)
    taught(detector, range(20, 32), slot=1)
    detector.advance(10_000)
    assert [len(request[0]) for request in fits.requests] == [12], "the other type has 11 rows of the 12 it needs"
    detector.advance(14_000)
    restored = forest()
    restored.load(detector.state())
    for one in (detector, restored):
        one.advance(20_000)
    assert len(fits.requests) == 1, "nothing new"
    taught(detector, range(40, 41), slot=0)
    detector.advance(30_000)
    assert len(fits.requests) == 2


def test_a_type_with_too_few_new_rows_keeps_its_forest(fits: Fits) -> None:
    detector = forest(new_rows=5)
    taught(detector, range(12))
    detector.advance(10_000)
    taught(detector, range(12, 16))
    detector.advance(20_000)
    assert len(fits.requests) == 1, "four are too few"
    taught(detector, range(16, 17))
    detector.advance(30_000)
    assert len(fits.requests) == 2


def test_fits_of_different_times_and_types_differ_in_their_random_state(fits: Fits) -> None:
    detector, other = forest(), forest(seed=7)
    for one in (detector, other):
        for begin in (0, 100):
            for slot in (0, 1):
                taught(one, range(begin + 20 * slot, begin + 20 * slot + 20), slot=slot)
            one.advance(10_000 + 100 * begin)
    assert len({request[3] for request in fits.requests}) == 8


def test_what_the_forest_in_use_finds_strangest_is_left_out_of_the_next_fit(fits: Fits) -> None:
    detector = forest(contamination=0.1, n_estimators=30, max_samples=40)
    taught(detector, range(40))
    detector.advance(10_000)
    assert len(fits.requests[0][0]) == 40, "no forest is in use yet"
    detector.advance(14_000)
    far = readings([40, 41, 42, 43], [0, 2, 4, 0], [0] * 4)
    far.features[:] = 9.0
    detector.learn(far)
    detector.advance(20_000)
    rows = fits.requests[1][0]
    assert len(rows) == 36
    assert rows.max() < 9.0


def test_a_sensor_that_is_forgotten_teaches_no_later_fit(fits: Fits) -> None:
    detector = forest()
    taught(detector, range(20), slot=0)
    taught(detector, range(20, 40), slot=2)
    detector.reset(np.array([0, 5]))
    detector.advance(10_000)
    expected = np.concatenate([readings([row], [2], [0]).features for row in range(20, 40)])
    np.testing.assert_allclose(fits.requests[0][0], expected, rtol=2**-15)


def test_a_fit_under_way_is_begun_anew_after_a_restart(fits: Fits) -> None:
    detector, restored = forest(), forest()
    taught(detector, range(30))
    detector.advance(10_000)
    state = pickle.loads(pickle.dumps(detector.state()))
    taught(detector, range(30, 60))
    restored.load(state)
    begun, anew = fits.requests
    np.testing.assert_array_equal(anew[0], begun[0])
    assert anew[1:] == begun[1:]
    assert restored.advance(14_000) == detector.advance(14_000) != []


def test_a_fit_that_fails_is_an_error_once_and_the_forest_stays(fits: Fits) -> None:
    detector = forest()
    fits.failing = {2}
    for begin, time_ms in ((0, 10_000), (100, 20_000)):
        for slot in (0, 1):
            taught(detector, range(begin + 20 * slot, begin + 20 * slot + 20), slot=slot)
        detector.advance(time_ms)
        if begin == 0:
            detector.advance(14_000)
    with pytest.raises(RuntimeError, match="the helper is gone"):
        detector.advance(24_000)
    assert (detector.version_of(0), detector.version_of(1)) == ("1970-01-01T00:00:10Z", "1970-01-01T00:00:20Z")
    taught(detector, range(200, 201))
    assert detector.advance(30_000) == []
    assert [group for group, _ in detector.advance(34_000)] == [0]


def test_state_and_memory_of_a_type_are_moderate(fits: Fits) -> None:
    """With the defaults and 12 features that are all noise, the worst case: a fit is under way."""
    detector = IsolationForest(tuple("abcdefghijkl"))
    detector.grow(1)
    rng = np.random.default_rng(0)
    zero = np.zeros(1, np.int64)
    for row in range(2_500):
        if row in (1_000, 2_000):
            detector.advance(300 * row)
            detector.advance(300 * row + 60_000)
        features = np.clip(rng.normal(0.5, 0.125, (1, 12)), 0, 1)
        detector.learn(Batch(zero, zero, np.zeros(1), features, zero, zero + row))
    detector.advance(900_000)
    assert detector.nbytes < 300_000
    assert len(zlib.compress(pickle.dumps(detector.state()), 1)) < 75_000


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"window": 1}, "window = 1: must be a whole number from 2 to 65535"),
        ({"window": 100}, "min_rows = 256: must be a whole number from 2 to 100"),
        ({"max_samples": 1001}, "max_samples = 1001: must be a whole number from 2 to 1000"),
        ({"n_estimators": 0}, "n_estimators = 0: must be a whole number from 1 to 1000"),
        ({"every_ms": "5m"}, "every_ms = '5m': must be a whole number from 1 to 604800000"),
        ({"delay_ms": 300_001}, "delay_ms = 300001: must be a whole number from 1 to 300000"),
        ({"seed": -1}, "seed = -1: must be a whole number from 0 to 4294967295"),
        ({"contamination": 0.6}, "contamination = 0.6: must be a proportion from 0 to 0.5"),
        ({"contamination": "auto"}, "contamination = 'auto': must be a proportion from 0 to 0.5"),
    ],
)
def test_wrong_parameters_say_what_is_allowed(params: dict[str, Any], message: str) -> None:
    with pytest.raises(KindError, match=message):
        build("models.isolation_forest.IsolationForest", ("a",), params)


def test_needs_features() -> None:
    with pytest.raises(KindError, match="0 features: an isolation forest takes from 1 to 254"):
        build("models.isolation_forest.IsolationForest", (), {})


@pytest.mark.parametrize(
    "other", [lambda: forest(seed=1), lambda: forest(window=41), lambda: IsolationForest(tuple("abd"), **SMALL)]
)
def test_a_state_of_other_parameters_is_refused(other: Callable[[], IsolationForest]) -> None:
    with pytest.raises(ValueError, match="start it afresh"):
        other().load(forest().state())
