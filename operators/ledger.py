"""Counting: every reading of every partition ends in exactly one column of the ledger."""

from collections.abc import Iterable

from operators.batches import ColumnData, Rows
from operators.records import VERSION_SHIFT

Counts = dict[str, int]


_PARTS = ("after_idle", "conflicts")
"""Columns that say of what is counted in another one what it was."""


def _readings(counts: Counts) -> int:
    # Without the parts: how many are `after_idle` may differ when a stretch is read again after a crash, and then the
    # second count must win.
    return sum(count for name, count in counts.items() if name not in _PARTS)


class Ledger:
    """Running counts of one stage of one partition, per stretch (`bucket`) of its offsets.

    Rows hold the counts so far, so that a later row of a bucket replaces an earlier one and a replay changes nothing.
    """

    def __init__(self, *, topic: str, partition: int, stage: str, generation: int) -> None:
        self._labels: dict[str, str | int] = {
            "topic": topic,
            "partition": partition,
            "stage": stage,
            "generation": generation,
        }
        self._version = generation << VERSION_SHIFT
        self._buckets: dict[int, Counts] = {}
        self._changed: set[int] = set()

    def add(self, bucket: int, **counts: int) -> None:
        """Add to the counts of a bucket."""
        total = self._buckets.setdefault(bucket, {})
        for name, count in counts.items():
            total[name] = total.get(name, 0) + count
        self._changed.add(bucket)

    def rows(self) -> list[Rows]:
        """The buckets that changed since the last call, if any; the newest two are kept to be added to."""
        if not self._changed:
            return []
        buckets = sorted(self._changed)
        self._changed.clear()
        counts = [self._buckets[bucket] for bucket in buckets]
        for bucket in sorted(self._buckets)[:-2]:
            del self._buckets[bucket]
        names = sorted({name for count in counts for name in count})
        columns: dict[str, ColumnData] = {name: [count.get(name, 0) for count in counts] for name in names}
        columns |= self._labels
        columns["bucket"] = list(buckets)
        columns["version"] = [self._version + _readings(count) for count in counts]
        return [Rows("ledger", len(buckets), columns)]

    def state(self) -> tuple[object, ...]:
        """Plain values for a snapshot."""
        buckets = tuple((bucket, tuple(counts.items())) for bucket, counts in self._buckets.items())
        return (buckets, tuple(self._changed))

    def load(self, state: tuple[Iterable[tuple[int, Iterable[tuple[str, int]]]], Iterable[int]]) -> None:
        """Go on from `state()`."""
        self._buckets = {bucket: dict(counts) for bucket, counts in state[0]}
        self._changed = set(state[1])
