"""Stored readings as the source of a flow, in the order in which they would have come had none of them been late.

    offsets as they came   10:00  10:05  [09:58 late]  10:07
    lateness 3 s           10:00  [09:58]  10:05  10:07      a late one just before the reading that made it late

All others keep the order of their offsets, so that without late readings the flow sees what it saw the first time.
Memory is bounded: readings are fetched by slices of event time, and all partitions advance side by side.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from typing_extensions import override

from infra.clickhouse.rebuild import Slice
from infra.clickhouse.rebuild_source import SLICE_ROWS, ReadingStore, Stored
from operators.batches import NO_SEQ, ON_TIME, Ints, Labels, ReadingBatch
from operators.intake import NO_WATERMARK, IntakeBatch

_BATCH_ROWS = 16_384


class Released(NamedTuple):
    """rows: in the order in which they come. kept: what may still have to wait for another one."""

    rows: Stored
    kept: Stored


def release(fetched: Stored, *, upto_ms: int | None, lateness_ms: int, newest_ms: int) -> Released:
    """The order of readings that come, as far as it is certain.

    fetched: readings of one partition by offset. All before `upto_ms` are there, or were released; all at all for None.
    newest_ms: the largest event time released before.
    """
    time_ms, place = fetched.time_ms, np.arange(len(fetched))
    newest = np.maximum(np.maximum.accumulate(time_ms), newest_ms)
    # The first row that makes a row late; at or after the row itself for rows on time.
    deadline = np.searchsorted(newest, time_ms + lateness_ms, side="right")
    late = deadline < place
    key = np.where(late, deadline - 0.5, place)
    order = np.lexsort((place, np.where(late, time_ms, 0), key))
    certain = len(fetched)
    if upto_ms is not None:
        # A row of an earlier offset that is not fetched yet lies at or after upto_ms: before a row that is older than
        # that by more than the lateness it would have to come after it all the same.
        open_ended = np.flatnonzero(time_ms >= upto_ms - lateness_ms)
        certain = int(open_ended[0]) if len(open_ended) else certain
    going = order[key[order] < certain]
    kept = np.ones(len(fetched), np.bool_)
    kept[going] = False
    return Released(fetched.take(going), fetched.take(np.flatnonzero(kept)))


class _Partition:
    """What is fetched of one partition."""

    def __init__(self) -> None:
        self.waiting: Stored | None = None
        self.ready: deque[Stored] = deque()
        self.newest_ms = NO_WATERMARK

    def add(self, rows: Stored | None, *, upto_ms: int | None, lateness_ms: int) -> None:
        if rows is not None:
            self.waiting = rows if self.waiting is None else self.waiting.joined(rows)
        if self.waiting is None or not len(self.waiting):
            return
        found = release(self.waiting, upto_ms=upto_ms, lateness_ms=lateness_ms, newest_ms=self.newest_ms)
        self.waiting = found.kept
        if len(found.rows):
            self.newest_ms = max(self.newest_ms, int(found.rows.time_ms.max()))
            for begin in range(0, len(found.rows), _BATCH_ROWS):
                self.ready.append(found.rows.take(slice(begin, begin + _BATCH_ROWS)))


class _Reader:
    """Fetches slices for all partitions of a source."""

    def __init__(
        self, store: ReadingStore, partitions: Sequence[str], slices: Sequence[Slice], lateness_ms: int
    ) -> None:
        self.store = store
        self.lateness_ms = lateness_ms
        self.partitions = {name: _Partition() for name in partitions}
        self._slices = deque(slices)

    def fetch(self) -> bool:
        """Get the next slice, unless there is enough; False when there is none left."""
        if not self._slices:
            return False
        if sum(len(rows) for one in self.partitions.values() for rows in one.ready) < SLICE_ROWS:
            part = self._slices.popleft()
            found = self.store.read(part)
            upto_ms = part.end_ms if self._slices else None
            for name, one in self.partitions.items():
                one.add(found.get(name), upto_ms=upto_ms, lateness_ms=self.lateness_ms)
        return True


class StoredSource(FixedPartitionedSource[IntakeBatch, None]):
    """The readings of some slices, for one worker. A partition that is at its end holds no windows back.

    told: called with the number of readings of each batch. stopped: asked before each; ends the source.
    """

    def __init__(
        self,
        store: ReadingStore,
        partitions: Sequence[str],
        slices: Sequence[Slice],
        *,
        lateness_ms: int,
        told: Callable[[int], None],
        stopped: Callable[[], bool],
    ) -> None:
        self._reader = _Reader(store, partitions, slices, lateness_ms)
        self._told = told
        self._stopped = stopped

    @override
    def list_parts(self) -> list[str]:
        return list(self._reader.partitions)

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_Part":
        return _Part(for_part, self._reader, self._told, self._stopped)


class _Part(StatefulSourcePartition[IntakeBatch, None]):
    def __init__(self, name: str, reader: _Reader, told: Callable[[int], None], stopped: Callable[[], bool]) -> None:
        self._topic, _, number = name.rpartition("/")
        self._number = int(number)
        self._reader = reader
        self._partition = reader.partitions[name]
        self._told, self._stopped = told, stopped
        self._newest_ms: int | None = None
        self._ended = False

    @override
    def next_batch(self) -> list[IntakeBatch]:
        if self._ended or self._stopped():
            raise StopIteration
        if self._partition.ready:
            rows = self._partition.ready.popleft()
            self._told(len(rows))
            return [self._batch(self._stamped(rows))]
        if not self._reader.fetch() and not self._partition.ready:
            self._ended = True
            return [self._batch(None)]
        return []

    def _batch(self, readings: ReadingBatch | None) -> IntakeBatch:
        watermark_ms = NO_WATERMARK if self._newest_ms is None else self._newest_ms - self._reader.lateness_ms
        return IntakeBatch(self._topic, self._number, readings, None, (), watermark_ms, readings is None)

    def _stamped(self, rows: Stored) -> ReadingBatch:
        newest: Ints = np.maximum.accumulate(rows.time_ms)
        if self._newest_ms is not None:
            newest = np.maximum(newest, self._newest_ms)
        self._newest_ms = int(newest[-1])
        store = self._reader.store
        return ReadingBatch(
            store.series,
            rows.code,
            rows.time_ms,
            rows.value,
            rows.offset,
            rows.idx,
            newest - self._reader.lateness_ms,
            np.full(len(rows), ON_TIME, np.uint8),
            rows.seq if (rows.seq != NO_SEQ).any() else None,
            rows.attributes.tolist() if rows.attributes.any() else None,
            Labels(rows.label, list(store.labels)) if rows.label.any() else None,
        )

    @override
    def snapshot(self) -> None:
        return None
