"""Arrays with one row per slot: growing them, and handing columns to compiled kernels."""

from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from models.compiled import compiled

Scalar = TypeVar("Scalar", bound=np.generic)


def resized(array: npt.NDArray[Scalar], rows: int, fill: npt.ArrayLike) -> npt.NDArray[Scalar]:
    """The array with room for at least `rows` rows, new ones filled with `fill`; the same array when it has them.

    Room grows by at least an eighth, so that growing slot by slot costs amortised constant time; twice as much would
    keep up to half of a worker's state unused.
    """
    if rows <= len(array):
        return array
    larger = np.empty((max(rows, len(array) + len(array) // 8, 8), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    larger[len(array) :] = fill
    return larger


def column(values: npt.ArrayLike, dtype: type[Scalar]) -> npt.NDArray[Scalar]:
    """Values as the one kind of array a kernel is compiled for: copied only if of another type, strided or read-only.

    A kernel is compiled anew for each kind of array it meets, which would stall a stream for a second.
    """
    if isinstance(values, np.ndarray) and values.dtype == dtype and values.flags.carray:
        return values  # np.require would take 3 us to find that out
    return np.require(values, dtype, ["C", "W", "A"])


def slot_column(slots: npt.ArrayLike, groups: int) -> npt.NDArray[np.int64]:
    """Slots for a kernel, which checks no bounds itself. Raises IndexError for a slot outside 0 .. groups - 1."""
    checked = column(slots, np.int64)
    if not _within(checked, groups):
        raise IndexError(f"slots {checked.min()} .. {checked.max()} of {groups} groups: call grow() first")
    return checked


@compiled
def _within(slots: npt.NDArray[np.int64], groups: int) -> bool:
    """A tenth of the time of min() and max(), which counts for a lone reading."""
    inside = True
    for slot in slots:
        inside = inside and 0 <= slot < groups
    return inside


def runs(values: npt.NDArray[np.int64]) -> list[tuple[int, slice]]:
    """The stretches of equal values: each value and where it stands. Of sorted values: the distinct ones."""
    cuts = np.flatnonzero(values[1:] != values[:-1]) + 1
    ends = [0, *cuts.tolist(), len(values)] if len(values) else []
    return [(int(values[begin]), slice(begin, end)) for begin, end in pairwise(ends)]
