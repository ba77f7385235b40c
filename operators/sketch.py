"""Quantiles of many groups within 1 %: counts of values in logarithmic buckets, so that merging is exact.

The idea is DDSketch's (Masson, Rim, Lee, VLDB 2019): if bucket k covers [g^k, g^(k+1)), its middle 2 g^k g / (1 + g)
is within (g - 1) / (g + 1) of every value in it. Here g = 2^(1/35), which gives 0.991 %. A power of two lets the bucket
be found from the bits of the double in integer arithmetic: fast, and the same on every machine.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.compiled import compiled
from models.slots import column, slot_column
from operators.batches import Floats, Ints

PER_OCTAVE = 35
MIN_EXPONENT, MAX_EXPONENT = -40, 64
"""Magnitudes below 2^-40 (9.1e-13) count as zero, those from 2^64 (1.8e19) on as the bucket below it."""
ZERO_BUCKET = (MAX_EXPONENT - MIN_EXPONENT) * PER_OCTAVE
"""Buckets are numbered in the order of their values; this one holds zero, its neighbours the smallest magnitudes."""

RELATIVE_ERROR = (2 ** (1 / PER_OCTAVE) - 1) / (2 ** (1 / PER_OCTAVE) + 1)

_MANTISSA_BITS = 52
_MANTISSA_MASK = (1 << _MANTISSA_BITS) - 1
# Lower bounds of an octave's buckets as mantissa bits. 32 bits of them, so that no machine's `pow` rounds otherwise.
_BOUNDS = np.round((2.0 ** (np.arange(PER_OCTAVE + 1) / PER_OCTAVE) - 1.0) * 2**32).astype(np.int64) << 20
# The bucket at the start of each 1/128 of an octave: no such part is cut by more than one bound.
_GUESS_SHIFT = _MANTISSA_BITS - 7
_GUESS = (np.searchsorted(_BOUNDS, np.arange(128, dtype=np.int64) << _GUESS_SHIFT, side="right") - 1).astype(np.int64)

_SLOT_SHIFT = 32
_BUCKET_MASK = (1 << _SLOT_SHIFT) - 1
_EMPTY = -1
_MAX_SLOTS = 1 << 31
_HASH = 0x9E3779B97F4A7C15 - 2**64  # the golden ratio's bits (Knuth, vol. 3, 6.4), as a signed number


def _middles() -> Floats:
    mantissas = 1.0 + _BOUNDS / 2.0**_MANTISSA_BITS
    lower, upper = mantissas[:-1], mantissas[1:]
    octave = 2.0 * lower * upper / (lower + upper)
    positive = np.ldexp(octave, np.arange(MIN_EXPONENT, MAX_EXPONENT)[:, None]).ravel()
    return np.concatenate([-positive[::-1], [0.0], positive])


_MIDDLES = _middles()


class Sketch:
    """Bucket counts of any number of groups, sparse: a hash table from (slot, bucket) to a count.

    Groups need not be announced; a group's memory is bounded by its distinct buckets, 7281 at most.
    """

    __slots__ = ("_counts", "_keys", "_pairs", "_used")

    def __init__(self) -> None:
        # The same content in two forms, each made from the other when it is needed: a table (empty: not made) ...
        self._keys: Ints = np.empty(0, np.int64)
        self._counts: Ints = np.empty(0, np.int64)
        self._used = 0
        # ... and keys in ascending order with their counts (None: not made); these arrays are never written to.
        self._pairs: tuple[Ints, Ints] | None = (self._keys, self._counts)

    def __reduce__(self) -> tuple[Any, ...]:
        return Sketch.from_state, (self.state(),)

    @property
    def nbytes(self) -> int:
        """Memory, bytes."""
        return self._keys.nbytes + self._counts.nbytes + sum(a.nbytes for a in self._pairs or ())

    def add(self, slots: npt.ArrayLike, values: npt.ArrayLike) -> None:
        """Count value i (finite) in group slots[i]. Raises IndexError for a negative slot, ValueError."""
        into, numbers = slot_column(slots, _MAX_SLOTS), column(values, np.float64)
        if len(into) != len(numbers):
            raise ValueError(f"{len(into)} slots for {len(numbers)} values")
        self._make_table(len(into))
        done = 0
        while done < len(into):
            done, self._used = _add(self._keys, self._counts, self._used, into, numbers, done)
            if done < len(into):
                self._widen(2 * len(self._keys))
        self._pairs = None

    def merge(self, into_slots: npt.ArrayLike, other: "Sketch") -> None:
        """Take in other's group i into group into_slots[i]; several may go to one. Raises IndexError, ValueError."""
        into = slot_column(into_slots, _MAX_SLOTS)
        keys, counts = other.state()
        theirs = keys >> _SLOT_SHIFT
        if len(theirs) and theirs[-1] >= len(into):
            raise ValueError(f"{len(into)} slots, but the other sketch has a group {theirs[-1]}")
        mapped = (into[theirs] << _SLOT_SHIFT) | (keys & _BUCKET_MASK)
        if len(self._keys):
            self._insert(mapped, counts)
            self._pairs = None
        else:  # sorting costs less than making a table
            ours = self.state()
            self._pairs = _summed(np.concatenate([ours[0], mapped]), np.concatenate([ours[1], counts]))

    def select(self, slots: npt.ArrayLike) -> "Sketch":
        """A copy of some groups: group slots[i] becomes group i. Raises IndexError for a negative slot."""
        wanted = slot_column(slots, _MAX_SLOTS)
        keys, counts = self.state()
        begin = np.searchsorted(keys, wanted << _SLOT_SHIFT)
        length = np.searchsorted(keys, (wanted + 1) << _SLOT_SHIFT) - begin
        group = np.repeat(np.arange(len(wanted)), length)
        rows = np.arange(len(group)) + np.repeat(begin - np.cumsum(length) + length, length)
        return Sketch.from_state(((group << _SLOT_SHIFT) | (keys[rows] & _BUCKET_MASK), counts[rows]))

    def part(self, begin: int, end: int) -> "Sketch":
        """A copy of the groups begin .. end - 1, numbered from 0."""
        keys, counts = self.state()
        first, last = np.searchsorted(keys, np.array([begin, end]) << _SLOT_SHIFT)
        return Sketch.from_state((keys[first:last] - (begin << _SLOT_SHIFT), counts[first:last]))

    @classmethod
    def concatenated(cls, parts: Sequence["Sketch"], groups: Sequence[int]) -> "Sketch":
        """The groups of all parts, one part after the other; groups: how many each part has."""
        states = [part.state() for part in parts]
        begins = np.cumsum([0, *groups[:-1]])
        keys = [state[0] + (begin << _SLOT_SHIFT) for state, begin in zip(states, begins, strict=True)]
        return cls.from_state((np.concatenate(keys), np.concatenate([state[1] for state in states])))

    def quantile(self, groups: int, q: float) -> Floats:
        """(groups,) the value of rank floor(q * (count - 1)), q in 0 .. 1, within 1 %; NaN for an empty group."""
        if not 0 <= q <= 1:
            raise ValueError(f"quantile {q}: must be from 0 to 1")
        keys, counts = self.state()
        return _quantile(column(keys, np.int64), column(counts, np.int64), groups, float(q), _MIDDLES)

    def state(self) -> tuple[Ints, Ints]:
        """Plain arrays for a snapshot: keys (slot << 32 | bucket) in ascending order, and counts. Not to be written."""
        if self._pairs is None:
            occupied = np.flatnonzero(self._keys != _EMPTY)
            keys = self._keys[occupied]
            order = np.argsort(keys)
            self._pairs = keys[order], self._counts[occupied[order]]
        return self._pairs

    @classmethod
    def from_state(cls, state: tuple[Ints, Ints]) -> "Sketch":
        """The sketch of `state()`; the arrays are taken over."""
        sketch = cls()
        sketch._pairs = state
        return sketch

    def _make_table(self, more: int) -> None:
        if not len(self._keys):
            keys, counts = self.state()
            self._widen(1 << max(6, (2 * len(keys) + more).bit_length()))
            self._insert(column(keys, np.int64), column(counts, np.int64))

    def _insert(self, keys: Ints, counts: Ints) -> None:
        done = 0
        while done < len(keys):
            done, self._used = _insert(self._keys, self._counts, self._used, keys, counts, done)
            if done < len(keys):
                self._widen(2 * len(self._keys))

    def _widen(self, capacity: int) -> None:
        occupied = self._keys != _EMPTY
        keys, counts = self._keys[occupied], self._counts[occupied]
        self._keys, self._counts = np.full(capacity, _EMPTY, np.int64), np.zeros(capacity, np.int64)
        _, self._used = _insert(self._keys, self._counts, 0, keys, counts, 0)


def _summed(keys: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """Keys in ascending order, those that repeat with the sum of their counts."""
    if np.all(keys[1:] > keys[:-1]):
        return keys, counts
    order = np.argsort(keys)
    keys = keys[order]
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    return keys[first], np.add.reduceat(counts[order], first)


@compiled
def _bucket(value: float, bits: int) -> int:
    """The bucket of a finite value, whose bits are given too."""
    exponent = ((bits >> _MANTISSA_BITS) & 0x7FF) - 1023
    if exponent < MIN_EXPONENT:
        return ZERO_BUCKET
    if exponent >= MAX_EXPONENT:
        magnitude = ZERO_BUCKET
    else:
        mantissa = bits & _MANTISSA_MASK
        place = _GUESS[mantissa >> _GUESS_SHIFT]
        place += mantissa >= _BOUNDS[place + 1]
        magnitude = (exponent - MIN_EXPONENT) * PER_OCTAVE + place + 1
    return ZERO_BUCKET + magnitude if value > 0 else ZERO_BUCKET - magnitude


@compiled
def _place(keys: Ints, key: int) -> int:
    """Where a key is, or the empty place where it would go. There must be an empty place."""
    mask = len(keys) - 1
    mixed = key * _HASH
    at = (mixed ^ (mixed >> 32)) & mask
    while keys[at] != key and keys[at] != _EMPTY:
        at = (at + 1) & mask
    return int(at)


@compiled
def _insert(keys: Ints, counts: Ints, used: int, new: Ints, more: Ints, start: int) -> tuple[int, int]:
    """Add counts from row `start` on; returns the first row not added, because the table is half full, and `used`."""
    for row in range(start, len(new)):
        at = _place(keys, new[row])
        if keys[at] == _EMPTY:
            if 2 * used >= len(keys):
                return row, used
            keys[at] = new[row]
            used += 1
        counts[at] += more[row]
    return len(new), used


@compiled
def _add(keys: Ints, counts: Ints, used: int, slots: Ints, values: Floats, start: int) -> tuple[int, int]:
    """As `_insert`, one for each value."""
    bits = values.view(np.int64)
    for row in range(start, len(slots)):
        key = (slots[row] << _SLOT_SHIFT) | _bucket(values[row], bits[row])
        at = _place(keys, key)
        if keys[at] == _EMPTY:
            if 2 * used >= len(keys):
                return row, used
            keys[at] = key
            used += 1
        counts[at] += 1
    return len(slots), used


@compiled
def _quantile(keys: Ints, counts: Ints, groups: int, q: float, middles: Floats) -> Floats:
    result = np.full(groups, np.nan)
    begin = 0
    while begin < len(keys):
        group = keys[begin] >> _SLOT_SHIFT
        end = begin
        total = 0
        while end < len(keys) and keys[end] >> _SLOT_SHIFT == group:
            total += counts[end]
            end += 1
        if group < groups:
            rank = int(np.floor(q * (total - 1)))
            at = begin
            below = counts[at]
            while below <= rank:
                at += 1
                below += counts[at]
            result[group] = middles[keys[at] & _BUCKET_MASK]
        begin = end
    return result
