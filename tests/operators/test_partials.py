"""Partials taken apart and put together again: parts, concatenations, merges without a table."""

import numpy as np

from models.slots import runs
from operators.moments import Moments
from operators.sketch import Sketch


def partials(values: dict[int, list[float]], groups: int) -> tuple[Moments, Sketch]:
    moments, sketch = Moments(groups), Sketch()
    for slot, numbers in values.items():
        n = len(numbers)
        zeros, slots = np.zeros(n, np.int64), np.full(n, slot)
        moments.add(slots, np.array(numbers), np.arange(n), zeros, zeros, np.zeros(n, np.bool_), partition=0)
        sketch.add(slots, np.array(numbers))
    return moments, sketch


def plain(moments: Moments, sketch: Sketch) -> tuple[object, ...]:
    return (*(a.tolist() for a in moments.state()), *(a.tolist() for a in sketch.state()))


def test_parts_put_together_again_are_the_whole() -> None:
    moments, sketch = partials({0: [1.0, 2.0], 2: [-3.0, 0.0, 5.5], 3: [7.0]}, 5)
    bounds = ((0, 2), (2, 2), (2, 3), (3, 5))
    again = (
        Moments.concatenated([moments.part(*bound) for bound in bounds]),
        Sketch.concatenated([sketch.part(*bound) for bound in bounds], [end - begin for begin, end in bounds]),
    )
    assert repr(plain(*again)) == repr(plain(moments, sketch))


def test_a_part_is_what_select_gives() -> None:
    moments, sketch = partials({1: [1.0, 1.0], 2: [4.0], 4: [9.0]}, 5)
    assert repr(plain(moments.part(1, 4), sketch.part(1, 4))) == repr(
        plain(moments.select([1, 2, 3]), sketch.select([1, 2, 3]))
    )


def test_sketches_merge_alike_with_and_without_a_table() -> None:
    _, first = partials({0: [1.0, 2.0, 2.0], 1: [5.0]}, 2)
    _, second = partials({0: [2.0, 100.0], 1: [-1.0, 5.0]}, 2)
    with_table, without = Sketch(), Sketch()
    with_table.add([0, 1], [1.0, 5.0])
    without.merge([0, 1], partials({0: [1.0], 1: [5.0]}, 2)[1])
    for target in (with_table, without):
        for other in (first, second):
            target.merge([1, 0], other)
        target.merge([0, 0], second)  # two groups into one
    assert plain(Moments(), with_table) == plain(Moments(), without)


def test_runs_are_the_stretches_of_equal_values() -> None:
    assert runs(np.array([4, 4, 9, 4], np.int64)) == [(4, slice(0, 2)), (9, slice(2, 3)), (4, slice(3, 4))]
    assert runs(np.empty(0, np.int64)) == []
