"""Count, mean, spread, extremes, first and last of many groups: columnar partials that merge.

A group is a row of two blocks, one of integers and one of floats, so that adding a reading touches few cache lines.
Counts, extremes, first and last do not depend on the order of adding and merging; mean and deviation do so only in
their last digits.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.compiled import compiled
from models.slots import column, resized, slot_column
from operators.batches import Flags, Floats, Ints

# Columns of the integer block. FIRST and LAST begin four columns each: time, partition, offset, idx.
COUNT, FLAGGED, FIRST, LAST, INTS = 0, 1, 2, 6, 10
# Columns of the float block.
MEAN, M2, MIN, MAX, FIRST_VALUE, LAST_VALUE, EXPECTED, FLOATS = 0, 1, 2, 3, 4, 5, 6, 7

_NO_FLOATS = np.array([0.0, 0.0, np.inf, -np.inf, np.nan, np.nan, 0.0])


class Moments:
    """Partial aggregates of n groups, all empty at first.

    The columns can be read, and `expected` also written, as views of length n that hold until the next `grow`.
    """

    __slots__ = ("_floats", "_groups", "_ints")

    def __init__(self, groups: int = 0) -> None:
        self._groups = 0
        self._ints: Ints = np.zeros((0, INTS), np.int64)
        self._floats: Floats = np.zeros((0, FLOATS))
        self.grow(groups)

    def __len__(self) -> int:
        return self._groups

    @property
    def count(self) -> Ints:
        """(n,) readings."""
        return self._ints[: self._groups, COUNT]

    @property
    def anomaly_count(self) -> Ints:
        """(n,) readings that were flagged."""
        return self._ints[: self._groups, FLAGGED]

    @property
    def expected(self) -> Floats:
        """(n,) readings expected: 0 at first, set by the caller, summed by `merge`; NaN is unknown and stays so."""
        return self._floats[: self._groups, EXPECTED]

    @property
    def nbytes(self) -> int:
        """Memory of all groups, bytes."""
        return self._ints.nbytes + self._floats.nbytes

    def grow(self, groups: int) -> None:
        """There are now `groups` groups; new ones are empty. Never fewer than before."""
        self._ints = resized(self._ints, groups, 0)
        self._floats = resized(self._floats, groups, _NO_FLOATS)
        self._groups = max(self._groups, groups)

    def add(
        self,
        slots: npt.ArrayLike,
        values: npt.ArrayLike,
        time_ms: npt.ArrayLike,
        offset: npt.ArrayLike,
        idx: npt.ArrayLike,
        flagged: npt.ArrayLike,
        *,
        partition: int,
    ) -> None:
        """Take in readings of one partition: value i (finite) goes to group slots[i]. All columns have one length.

        (time_ms, partition, offset, idx) decides which reading is first and last. Raises IndexError, ValueError.
        """
        columns = (
            slot_column(slots, self._groups),
            column(values, np.float64),
            column(time_ms, np.int64),
            column(offset, np.int64),
            column(idx, np.int64),
            column(flagged, np.bool_),
        )
        if len({len(c) for c in columns}) > 1:
            raise ValueError(f"columns of different lengths: {[len(c) for c in columns]}")
        _add(self._ints, self._floats, *columns, int(partition))

    def merge(self, into_slots: npt.ArrayLike, other: "Moments") -> None:
        """Take in other's group i into group into_slots[i]; several may go to one. Raises IndexError, ValueError."""
        slots = slot_column(into_slots, self._groups)
        if len(slots) != len(other):
            raise ValueError(f"{len(slots)} slots for {len(other)} groups")
        _merge(self._ints, self._floats, slots, other._ints, other._floats)

    def select(self, slots: npt.ArrayLike) -> "Moments":
        """A copy of some groups, in the order given."""
        taken = slot_column(slots, self._groups)
        return Moments.from_state((self._ints[taken], self._floats[taken]))

    def part(self, begin: int, end: int) -> "Moments":
        """The groups begin .. end - 1 as a view: not to be written."""
        return Moments.from_state((self._ints[begin:end], self._floats[begin:end]))

    @classmethod
    def concatenated(cls, parts: Sequence["Moments"]) -> "Moments":
        """The groups of all parts, one part after the other."""
        ints = np.concatenate([part._ints[: part._groups] for part in parts])
        return cls.from_state((ints, np.concatenate([part._floats[: part._groups] for part in parts])))

    def finish(self) -> dict[str, npt.NDArray[Any]]:
        """Columns of length n as the windows table names them; numbers are NaN for groups without readings.

        stddev is that of the population; infinite (or 0) when its square is too large (or small) for a double.
        """
        floats = self._floats[: self._groups]
        known = self.count > 0

        def known_only(values: Floats) -> Floats:
            return np.where(known, values, np.nan)

        return {
            "count": self.count.copy(),
            "mean": known_only(floats[:, MEAN]),
            "min": known_only(floats[:, MIN]),
            "max": known_only(floats[:, MAX]),
            "stddev": known_only(np.sqrt(floats[:, M2] / np.maximum(self.count, 1))),
            "first": floats[:, FIRST_VALUE].copy(),
            "last": floats[:, LAST_VALUE].copy(),
            "anomaly_count": self.anomaly_count.copy(),
            "expected_count": self.expected.copy(),
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return Moments.from_state, (self.state(),)

    def state(self) -> tuple[Ints, Floats]:
        """A copy as two plain arrays, (n, 10) and (n, 7), for a snapshot."""
        return self._ints[: self._groups].copy(), self._floats[: self._groups].copy()

    @classmethod
    def from_state(cls, state: tuple[Ints, Floats]) -> "Moments":
        """The groups of `state()`; the arrays are taken over."""
        moments = cls()
        moments._ints, moments._floats = column(state[0], np.int64), column(state[1], np.float64)
        moments._groups = len(moments._ints)
        return moments


@compiled
def _precedes(ints: Ints, group: int, at: int, time: int, partition: int, offset: int, idx: int) -> bool:
    """Whether the key comes before the one kept at columns `at` ff. of a group."""
    if time != ints[group, at]:
        return bool(time < ints[group, at])
    if partition != ints[group, at + 1]:
        return bool(partition < ints[group, at + 1])
    if offset != ints[group, at + 2]:
        return bool(offset < ints[group, at + 2])
    return bool(idx < ints[group, at + 3])


@compiled
def _keep(ints: Ints, group: int, at: int, time: int, partition: int, offset: int, idx: int) -> None:
    ints[group, at] = time
    ints[group, at + 1] = partition
    ints[group, at + 2] = offset
    ints[group, at + 3] = idx


@compiled
def _add(
    ints: Ints,
    floats: Floats,
    slots: Ints,
    values: Floats,
    time_ms: Ints,
    offset: Ints,
    idx: Ints,
    flagged: Flags,
    partition: int,
) -> None:
    for row in range(len(slots)):
        group = slots[row]
        value = values[row] + 0.0  # one zero: of 0.0 and -0.0 the order would decide which is the extreme
        count = ints[group, COUNT] + 1
        ints[group, COUNT] = count
        ints[group, FLAGGED] += flagged[row]
        if count == 1:
            floats[group, MEAN] = value
            floats[group, MIN] = value
            floats[group, MAX] = value
        else:  # Welford (1962)
            mean = floats[group, MEAN]
            delta = value - mean
            # Halves of the range of doubles apart, the difference overflows where the mean does not.
            mean += delta / count if np.isfinite(delta) else value / count - mean / count
            floats[group, MEAN] = mean
            floats[group, M2] += delta * (value - mean)
            floats[group, MIN] = min(floats[group, MIN], value)
            floats[group, MAX] = max(floats[group, MAX], value)
        key = (time_ms[row], partition, offset[row], idx[row])
        if count == 1 or _precedes(ints, group, FIRST, key[0], key[1], key[2], key[3]):
            _keep(ints, group, FIRST, key[0], key[1], key[2], key[3])
            floats[group, FIRST_VALUE] = value
        if count == 1 or not _precedes(ints, group, LAST, key[0], key[1], key[2], key[3]):
            _keep(ints, group, LAST, key[0], key[1], key[2], key[3])
            floats[group, LAST_VALUE] = value


@compiled
def _merge(ints: Ints, floats: Floats, slots: Ints, other_ints: Ints, other_floats: Floats) -> None:
    for source in range(len(slots)):
        group = slots[source]
        floats[group, EXPECTED] += other_floats[source, EXPECTED]
        theirs = other_ints[source, COUNT]
        if theirs == 0:
            continue
        ours = ints[group, COUNT]
        if ours == 0:
            ints[group] = other_ints[source]
            floats[group, :EXPECTED] = other_floats[source, :EXPECTED]
            continue
        count = ours + theirs
        ints[group, COUNT] = count
        ints[group, FLAGGED] += other_ints[source, FLAGGED]
        mean = floats[group, MEAN]
        other_mean = other_floats[source, MEAN]
        share = theirs / count
        delta = other_mean - mean  # Chan, Golub, LeVeque (1979)
        floats[group, MEAN] = mean + (delta * share if np.isfinite(delta) else other_mean * share - mean * share)
        floats[group, M2] += other_floats[source, M2] + delta * delta * (ours * share)
        floats[group, MIN] = min(floats[group, MIN], other_floats[source, MIN])
        floats[group, MAX] = max(floats[group, MAX], other_floats[source, MAX])
        first, last = other_ints[source, FIRST:LAST], other_ints[source, LAST:INTS]
        if _precedes(ints, group, FIRST, first[0], first[1], first[2], first[3]):
            _keep(ints, group, FIRST, first[0], first[1], first[2], first[3])
            floats[group, FIRST_VALUE] = other_floats[source, FIRST_VALUE]
        if not _precedes(ints, group, LAST, last[0], last[1], last[2], last[3]):
            _keep(ints, group, LAST, last[0], last[1], last[2], last[3])
            floats[group, LAST_VALUE] = other_floats[source, LAST_VALUE]
