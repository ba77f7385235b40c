"""Cutting a batch into rounds in which every sensor appears at most once, so that what sees a round is array code."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from models.compiled import compiled
from operators.batches import Ints


@compiled
def _numbers(slot: Ints, seen: Ints, numbers: Ints) -> int:
    """Fill in how many earlier rows are of the same sensor; returns the most. `seen` is zeros before and after."""
    most = 0
    for i in range(len(slot)):
        numbers[i] = seen[slot[i]]
        most = max(most, numbers[i])
        seen[slot[i]] += 1
    for i in range(len(slot)):
        seen[slot[i]] = 0
    return most


class Rounds:
    """Makes the rounds of a shard's batches."""

    def __init__(self) -> None:
        self._seen = np.zeros(0, np.int64)

    def grow(self, sensors: int) -> None:
        """There are now so many slots."""
        self._seen = np.zeros(sensors, np.int64)

    def of(self, slot: Ints) -> tuple[npt.NDArray[np.intp], list[slice]]:
        """The rows in order of rounds, each round in order of arrival, and where in that order each round stands."""
        numbers = np.empty(len(slot), np.int64)
        if not _numbers(slot, self._seen, numbers):
            return np.arange(len(slot)), [slice(0, len(slot))] if len(slot) else []
        order = np.argsort(numbers, kind="stable")
        ends = np.cumsum(np.bincount(numbers)).tolist()
        return order, [slice(begin, end) for begin, end in pairwise([0, *ends])]
