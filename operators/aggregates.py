"""Aggregates of one's own beside the built-in ones (`moments`, `sketch`): one small class each.

A class named in `aggregates = ["mymodule.MyAggregate"]` is built without arguments; its results are stored in the
windows table's column `extra` under its `name`. `Range` below is an example.
"""

from typing import Protocol, runtime_checkable

import numpy as np

from models.importing import KindError, construct, load_class, told
from operators.batches import Floats, Ints


@runtime_checkable
class Aggregate(Protocol):
    """A number per group, from partial states that merge: one row of `width` floats a group.

    Readings and partials come in any order and grouping; the result must not depend on it (beyond rounding).
    """

    @property
    def name(self) -> str:
        """Under which the result is stored."""
        ...

    def initialize(self, n: int) -> Floats:
        """(n, width) the state of n groups without readings."""
        ...

    def add(self, state: Floats, slots: Ints, values: Floats, time_ms: Ints) -> None:
        """Take value i, of time_ms[i], into row slots[i] of the state, in place. Slots may repeat."""
        ...

    def merge(self, into: Floats, slots: Ints, other: Floats) -> None:
        """Take row i of other into row slots[i] of `into`, in place. Slots may repeat."""
        ...

    def result(self, state: Floats) -> Floats:
        """(n,) the number of each group; NaN for one without readings."""
        ...


class Range:
    """Largest minus smallest value."""

    name = "range"

    def initialize(self, n: int) -> Floats:
        """State: smallest and largest value."""
        return np.tile([np.inf, -np.inf], (n, 1))

    def add(self, state: Floats, slots: Ints, values: Floats, time_ms: Ints) -> None:
        """`ufunc.at` takes repeated slots one after the other, which `state[slots] = ...` does not."""
        np.minimum.at(state[:, 0], slots, values)
        np.maximum.at(state[:, 1], slots, values)

    def merge(self, into: Floats, slots: Ints, other: Floats) -> None:
        """Smallest of the smallest, largest of the largest."""
        np.minimum.at(into[:, 0], slots, other[:, 0])
        np.maximum.at(into[:, 1], slots, other[:, 1])

    def result(self, state: Floats) -> Floats:
        """In the unit of the values."""
        with np.errstate(over="ignore"):  # infinite when the extremes lie further apart than a double can say
            span: Floats = state[:, 1] - state[:, 0]
        return np.where(span >= 0, span, np.nan)


def load_aggregate(path: str) -> Aggregate:
    """The aggregate at an import path, tried on a small example. Raises KindError with one line for people."""
    aggregate = construct(load_class(path, what="an aggregate class"), {}, path=path)
    missing = [part for part in ("name", "initialize", "add", "merge", "result") if not hasattr(aggregate, part)]
    if not isinstance(aggregate, Aggregate):
        raise KindError(f"{path} is not an aggregate: it lacks {', '.join(missing)}")
    if not (isinstance(aggregate.name, str) and aggregate.name):
        raise KindError(f"{path}: its name = {aggregate.name!r} must be text: results are stored under it")
    _try(path, aggregate)
    return aggregate


def _try(path: str, aggregate: Aggregate) -> None:
    """A mistake in the class is found at start, not when the first window closes."""
    slots = np.array([0, 1, 0], np.int64)
    try:
        state = aggregate.initialize(2)
        aggregate.add(state, slots, np.array([1.0, 2.0, 4.0]), np.array([0, 1, 2], np.int64))
        into = aggregate.initialize(2)
        aggregate.merge(into, np.array([1, 1], np.int64), state)
        result = aggregate.result(into)
    except Exception as error:
        raise KindError(f"{path}: a trial with three values failed: {told(error)}") from error
    for what, array, dimensions in (("initialize(2)", state, 2), ("result()", result, 1)):
        if (
            not isinstance(array, np.ndarray)
            or array.dtype != np.float64
            or array.ndim != dimensions
            or len(array) != 2
        ):
            shape = "(2, width)" if dimensions == 2 else "(2,)"
            raise KindError(f"{path}: {what} must give a float64 array of shape {shape} for two groups")
