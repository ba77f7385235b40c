"""Partials of windows against plain Python: counts, extremes, order, deviation, quantiles, aggregates of one's own."""

import math
import pickle
import statistics
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.importing import KindError
from operators.aggregates import Range, load_aggregate
from operators.batches import Floats
from operators.moments import Moments
from operators.sketch import MAX_EXPONENT, MIN_EXPONENT, RELATIVE_ERROR, Sketch

GROUPS = 3

deterministic = settings(deadline=None, derandomize=True)  # the first call of a kernel may compile it

values = st.one_of(
    st.floats(-1e6, 1e6, allow_nan=False),
    st.sampled_from([0.0, 1.0, -1.0, 20.5]),  # ties
)


class Row(NamedTuple):
    slot: int
    value: float
    time: int
    partition: int
    offset: int
    idx: int
    flagged: bool


@st.composite
def rows_of_partitions(draw: st.DrawFn) -> list[Row]:
    """Readings with few different times, so that partition, offset and idx must break ties; no key twice."""
    small = st.integers(0, 2)
    row = st.builds(Row, st.integers(0, GROUPS - 1), values, small, small, small, st.integers(0, 3), st.booleans())
    return draw(st.lists(row, max_size=40, unique_by=lambda r: r[2:6]))


def moments_of(rows: list[Row]) -> Moments:
    moments = Moments(GROUPS)
    for partition in {r.partition for r in rows}:
        of = [r for r in rows if r.partition == partition]
        columns = list(zip(*of, strict=True))
        moments.add(columns[0], columns[1], columns[2], columns[4], columns[5], columns[6], partition=partition)
    return moments


def assert_equals_plain(moments: Moments, rows: list[Row]) -> None:
    done = moments.finish()
    for group in range(GROUPS):
        mine = [r for r in rows if r.slot == group]
        got = {name: column[group].item() for name, column in done.items()}
        assert got["count"] == len(mine)
        assert got["anomaly_count"] == sum(r.flagged for r in mine)
        if not mine:
            assert all(math.isnan(got[name]) for name in ("mean", "min", "max", "stddev", "first", "last"))
            continue
        ordered = sorted(mine, key=lambda r: r[2:6])
        numbers = [r.value for r in mine]
        assert got["first"] == ordered[0].value
        assert got["last"] == ordered[-1].value
        assert got["min"] == min(numbers)
        assert got["max"] == max(numbers)
        scale = max(map(abs, numbers))
        assert got["mean"] == pytest.approx(math.fsum(numbers) / len(numbers), rel=1e-9, abs=1e-12 * scale)
        assert got["stddev"] == pytest.approx(statistics.pstdev(numbers), rel=1e-9, abs=1e-9 * scale + 1e-150)


@deterministic
@given(rows_of_partitions())
def test_moments_equal_plain_python(rows: list[Row]) -> None:
    assert_equals_plain(moments_of(rows), rows)


@deterministic
@given(rows_of_partitions(), st.lists(st.integers(0, 3), min_size=40, max_size=40), st.permutations(range(4)))
def test_moments_merge_in_any_grouping_and_order(rows: list[Row], part_of: list[int], order: list[int]) -> None:
    merged = Moments(GROUPS)
    for part in order:
        merged.merge(np.arange(GROUPS), moments_of([r for r, p in zip(rows, part_of, strict=False) if p == part]))
    assert_equals_plain(merged, rows)


@deterministic
@given(rows_of_partitions())
def test_moments_of_all_groups_merge_into_one(rows: list[Row]) -> None:
    total = Moments(GROUPS)
    total.merge([1] * GROUPS, moments_of(rows))
    assert_equals_plain(total, [r._replace(slot=1) for r in rows])


def test_mean_and_deviation_keep_their_digits_far_from_zero() -> None:
    numbers = [1e9 + i % 7 for i in range(10_000)]
    halves = [Moments(1), Moments(1)]
    index = np.arange(5_000)
    for half, part in zip(halves, (numbers[:5_000], numbers[5_000:]), strict=True):
        half.add(index * 0, part, index, index, index * 0, index < 0, partition=0)
    halves[0].merge([0], halves[1])
    assert halves[0].finish()["stddev"][0] == pytest.approx(statistics.pstdev(numbers), rel=1e-9)
    assert halves[0].finish()["mean"][0] == pytest.approx(math.fsum(numbers) / 10_000, rel=1e-15)


def test_extreme_values_leave_the_mean_finite() -> None:
    parts = [moments_of([Row(0, value, t, 0, t, 0, False)]) for t, value in enumerate((1e308, -1e308, 1.7e308))]
    for part in parts[1:]:
        parts[0].merge(np.arange(GROUPS), part)
    done = parts[0].finish()
    assert done["mean"][0] == pytest.approx(1.7e308 / 3)
    assert done["stddev"][0] == math.inf


def test_moments_grow_select_and_pickle() -> None:
    moments = moments_of([Row(0, 1.5, 0, 0, 0, 0, True), Row(2, 2.5, 0, 0, 1, 0, False)])
    moments.expected[:] = [6.0, math.nan, 1.0]
    moments.grow(5)
    moments.grow(2)  # never fewer
    assert moments.count.tolist() == [1, 0, 1, 0, 0]
    chosen = pickle.loads(pickle.dumps(moments.select([2, 0])))
    assert chosen.finish()["mean"].tolist() == [2.5, 1.5]
    assert chosen.expected.tolist() == [1.0, 6.0]
    chosen.merge([0, 0, 0, 0, 1], moments)
    assert chosen.count.tolist() == [3, 1]
    assert math.isnan(chosen.expected[0])
    assert moments.select([0]).expected.tolist() == [6.0]
    assert len(pickle.dumps(moments.select([0]))) < 600


def test_a_slot_that_was_not_announced_is_an_error_not_a_crash() -> None:
    for slot in (-1, 2):
        with pytest.raises(IndexError, match=r"call grow\(\) first"):
            Moments(2).add([slot], [1.0], [0], [0], [0], [False], partition=0)
    with pytest.raises(ValueError, match="different lengths"):
        Moments(2).add([0], [1.0, 2.0], [0], [0], [0], [False], partition=0)
    with pytest.raises(ValueError, match="2 slots for 3 groups"):
        Moments(2).merge([0, 1], Moments(3))


wide = st.one_of(values, st.floats(-1e18, 1e18, allow_nan=False), st.floats(-1e-9, 1e-9, allow_nan=False))


def exact_quantile(numbers: list[float], q: float) -> float:
    return sorted(numbers)[math.floor(q * (len(numbers) - 1))]


def sketch_of(pairs: list[tuple[int, float]]) -> Sketch:
    sketch = Sketch()
    sketch.add([slot for slot, _ in pairs], [value for _, value in pairs])
    return sketch


@deterministic
@given(st.lists(st.tuples(st.integers(0, GROUPS - 1), wide), max_size=200), st.sampled_from([0.0, 0.5, 0.95, 1.0]))
@example([(0, 2.0**-40), (1, -(2.0**-40))], 0.5)
def test_quantiles_are_within_one_percent(pairs: list[tuple[int, float]], q: float) -> None:
    got = sketch_of(pairs).quantile(GROUPS, q)
    for group in range(GROUPS):
        numbers = [value for slot, value in pairs if slot == group]
        if not numbers:
            assert math.isnan(got[group])
            continue
        assert got[group] == pytest.approx(exact_quantile(numbers, q), rel=0.01, abs=2.0**MIN_EXPONENT)


def test_every_bucket_border_is_within_the_stated_error() -> None:
    octave = 2.0 ** (np.arange(36 * 8) / (35 * 8))
    borders: Floats = (octave * 2.0 ** np.arange(MIN_EXPONENT, MAX_EXPONENT - 1)[:, None]).ravel()
    around = np.concatenate([borders, np.nextafter(borders, np.inf), np.nextafter(borders, 0)[1:]])
    around = np.concatenate([around, -around])
    sketch = Sketch()
    sketch.add(np.arange(len(around)), around)
    error = np.abs(sketch.quantile(len(around), 0.5) - around) / np.abs(around)
    assert error.max() <= RELATIVE_ERROR * (1 + 1e-6)
    assert RELATIVE_ERROR < 0.01


def test_values_out_of_range_are_taken_in_at_the_ends() -> None:
    sketch = sketch_of([(0, 0.0), (0, -0.0), (0, 5e-324), (1, 1.7e308), (2, -1.7e308), (3, 1.83e19), (4, -1.83e19)])
    zero, high, low, top, bottom = sketch.quantile(5, 0.5).tolist()
    assert zero == 0
    assert (high, low) == (top, bottom) == (pytest.approx(1.83e19, rel=0.02), pytest.approx(-1.83e19, rel=0.02))


@deterministic
@given(
    st.lists(st.tuples(st.integers(0, GROUPS - 1), wide), max_size=200),
    st.lists(st.integers(0, 3), min_size=200, max_size=200),
    st.permutations(range(4)),
)
def test_sketches_merge_to_the_same_bits(pairs: list[tuple[int, float]], part_of: list[int], order: list[int]) -> None:
    whole, merged = sketch_of(pairs), Sketch()
    for part in order:
        piece = sketch_of([pair for pair, p in zip(pairs, part_of, strict=False) if p == part])
        merged.merge(np.arange(GROUPS), pickle.loads(pickle.dumps(piece)))
    for ours, theirs in zip(whole.state(), merged.state(), strict=True):
        assert ours.tolist() == theirs.tolist()


def test_a_sketch_grows_through_many_sensors() -> None:
    rng = np.random.default_rng(1)
    slots = rng.integers(0, 500, 40_000)
    numbers = rng.normal(0, 1, 40_000) * 10.0 ** rng.integers(-3, 4, 40_000)
    sketch = Sketch()
    for part in np.split(np.arange(40_000), 8):
        sketch.add(slots[part], numbers[part])
    for q in (0.5, 0.95):
        exact = [exact_quantile(numbers[slots == group].tolist(), q) for group in range(500)]
        np.testing.assert_allclose(sketch.quantile(500, q), exact, rtol=0.01)
    assert sketch.nbytes < 100 * len(sketch.state()[0])


def test_sketches_select_remap_and_go_on_after_a_snapshot() -> None:
    sketch = sketch_of([(0, 1.0), (1, 10.0), (1, 20.0), (4, 40.0)])
    chosen = sketch.select([4, 1, 2, 4])
    np.testing.assert_allclose(chosen.quantile(4, 1.0), [40, 20, math.nan, 40], rtol=0.01)
    summed = Sketch()
    summed.merge([1, 1, 1, 1, 0], sketch)
    np.testing.assert_allclose(summed.quantile(3, 0.5), [40, 10, math.nan], rtol=0.01)
    again = Sketch.from_state(sketch.state())
    again.add([4, 4], [400.0, 400.0])
    np.testing.assert_allclose(again.quantile(5, 0.5)[[1, 4]], [10, 400], rtol=0.01)
    assert sketch.quantile(5, 0.5)[4] == pytest.approx(40, rel=0.01), "the original is not changed"
    assert len(pickle.dumps(sketch)) < 500


def test_wrong_calls_of_a_sketch_say_so() -> None:
    with pytest.raises(IndexError):
        Sketch().add([-1], [1.0])
    with pytest.raises(ValueError, match="1 slots for 2 values"):
        Sketch().add([0], [1.0, 2.0])
    with pytest.raises(ValueError, match="1 slots, but the other sketch has a group 3"):
        Sketch().merge([0], sketch_of([(3, 1.0)]))
    with pytest.raises(ValueError, match=r"quantile 1\.5: must be from 0 to 1"):
        Sketch().quantile(1, 1.5)


@deterministic
@given(st.lists(st.tuples(st.integers(0, GROUPS - 1), values), max_size=60), st.integers(0, 60))
def test_an_aggregate_of_ones_own_equals_plain_python(pairs: list[tuple[int, float]], cut: int) -> None:
    aggregate = load_aggregate("operators.aggregates.Range")
    merged = aggregate.initialize(GROUPS)
    for part in (pairs[:cut], pairs[cut:]):
        slots = np.array([slot for slot, _ in part], np.int64)
        state = aggregate.initialize(GROUPS)
        aggregate.add(state, slots, np.array([value for _, value in part], float), np.zeros(len(part), np.int64))
        aggregate.merge(merged, np.arange(GROUPS), state)
    for group, got in enumerate(aggregate.result(merged).tolist()):
        numbers = [value for slot, value in pairs if slot == group]
        assert math.isnan(got) if not numbers else got == max(numbers) - min(numbers)


class Unfinished:
    name = "unfinished"

    def initialize(self, n: int) -> Floats:
        return np.zeros((n, 1))


class Nameless(Range):
    name = ""


class Crooked(Range):
    name = "crooked"

    def result(self, state: Floats) -> Floats:
        return state


class Failing(Range):
    name = "failing"

    def merge(self, into: Floats, slots: object, other: Floats) -> None:
        raise ZeroDivisionError("no")


class Demanding(Range):
    def __init__(self, size: int) -> None: ...


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("Range", "'Range' is not an import path: write the module and the name of an aggregate class"),
        ("nowhere.Range", "nowhere.Range: no module 'nowhere'; is it installed"),
        ("operators.aggregates.Rnge", "has no 'Rnge'; did you mean Range?"),
        ("operators.aggregates.load_aggregate", "is a function, not an aggregate class"),
        (f"{__name__}.Unfinished", "is not an aggregate: it lacks add, merge, result"),
        (f"{__name__}.Nameless", "its name = '' must be text"),
        (f"{__name__}.Crooked", r"result() must give a float64 array of shape (2,) for two groups"),
        (f"{__name__}.Failing", "a trial with three values failed: ZeroDivisionError: no"),
        (f"{__name__}.Demanding", "needs the parameter 'size'; it takes size"),
    ],
)
def test_wrong_aggregates_are_refused_at_start(path: str, message: str) -> None:
    with pytest.raises(KindError) as caught:
        load_aggregate(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
