"""Which shard a sensor or a group belongs to, and splitting a batch along that.

The hash is ours to keep: it decides where state lives, so it must never change with a library. crc32 is mixed further
because Kafka's default partitioner is crc32 too: within one partition plain crc32 would leave some shards empty.
"""

from collections.abc import Callable
from zlib import crc32

import numpy as np

from models.slots import resized
from operators.batches import Codes, Ints, ReadingBatch, Series, SeriesDictionary

_MASK = 0xFFFFFFFF
_UNKNOWN = -1


def stable_hash(text: str) -> int:
    """32 well-mixed bits of a text, the same for good (crc32, then the finalizer of MurmurHash3)."""
    h = crc32(text.encode())
    h = ((h ^ (h >> 16)) * 0x85EBCA6B) & _MASK
    h = ((h ^ (h >> 13)) * 0xC2B2AE35) & _MASK
    return h ^ (h >> 16)


def shard_of(text: str, shards: int) -> int:
    """The shard, 0 .. shards - 1, of a sensor id or a group key."""
    return stable_hash(text) % shards


class CodeMap:
    """Numbers of one's own for the codes of a series dictionary; asked once per series, then array look-ups.

    Only series that occur are asked for, in the order of their first rows: a dictionary holds a whole partition's
    series, and their order in it depends on how batches were cut.
    """

    def __init__(self, number: Callable[[Series], int]) -> None:
        self._number = number
        self._series: SeriesDictionary | None = None
        self._numbers = np.empty(0, np.int64)

    def forget(self) -> None:
        """Ask anew: the numbers of series that are gone are free."""
        self._series = None

    def __call__(self, series: SeriesDictionary, code: Codes) -> Ints:
        """(n,) codes -> (n,) numbers."""
        if series is not self._series:
            self._series = series
            self._numbers = np.empty(0, np.int64)
        self._numbers = resized(self._numbers, len(series), _UNKNOWN)
        numbers = self._numbers[code]
        if not len(numbers) or numbers.min() != _UNKNOWN:
            return numbers
        unknown, first = np.unique(code[numbers == _UNKNOWN], return_index=True)
        for one in unknown[np.argsort(first)].tolist():
            self._numbers[one] = self._number(series.values[one])
        return self._numbers[code]


def split(batch: ReadingBatch, shard: Ints, shards: int) -> dict[int, ReadingBatch]:
    """The batch's rows by shard, each in their order; shards without rows are left out."""
    if shards == 1:
        return {0: batch}
    order = np.argsort(shard.astype(np.uint8), kind="stable")  # radix sort for one byte
    ends = np.cumsum(np.bincount(shard, minlength=shards)).tolist()
    parts = {}
    start = 0
    for k, end in enumerate(ends):
        if end > start:
            parts[k] = batch.take(order[start:end])
        start = end
    return parts
