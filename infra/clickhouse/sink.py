"""The Bytewax sink for rows of any table: an epoch commits only when ClickHouse has acknowledged its rows."""

import threading
from binascii import crc32

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from infra.clickhouse.client import Address
from infra.clickhouse.writer import Writer, WriterStats
from operators.batches import Rows


class ClickHouseSink(FixedPartitionedSink[Rows, None]):
    """Takes (key, Rows) items for any table.

    After a crash Bytewax repeats everything since the last complete epoch, cut into other batches; the tables replace
    rows of the same identity, so the effect is exactly once.

    parts: how many workers can write at the same time, at most. The parts of one process share one writer, so that
    rows of a table gather into few inserts.
    """

    def __init__(self, address: Address, *, parts: int = 4) -> None:
        self._address = address
        self._parts = parts
        self._lock = threading.Lock()
        self._writer: Writer | None = None
        self._open = 0
        self._stats = WriterStats()

    @property
    def stats(self) -> WriterStats:
        """What this process has written."""
        with self._lock:
            return self._writer.stats if self._writer is not None else self._stats

    def list_parts(self) -> list[str]:
        """The same names in every worker; Bytewax gives each part to one of them."""
        return [f"{part:02}" for part in range(self._parts)]

    def part_fn(self, item_key: str) -> int:
        """Stable over processes and releases, and evener over short keys than Bytewax's adler32."""
        return crc32(item_key.encode())

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_Part":
        """Nothing to resume: what counts is in ClickHouse."""
        with self._lock:
            if self._writer is None:
                self._writer = Writer(self._address)
            self._open += 1
            return _Part(self, self._writer)

    def release(self) -> None:
        """A part is done; the last one closes the writer."""
        with self._lock:
            self._open -= 1
            if self._open or self._writer is None:
                return
            writer, self._writer = self._writer, None
        writer.close()
        self._stats = writer.stats


class _Part(StatefulSinkPartition[Rows, None]):
    def __init__(self, sink: ClickHouseSink, writer: Writer) -> None:
        self._sink = sink
        self._writer = writer

    def write_batch(self, values: list[Rows]) -> None:
        self._writer.write(values)

    def snapshot(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        # Bytewax snapshots before it closes, and closes also while an error unwinds: raising here would abort the
        # process, waiting would keep it from ending.
        self._sink.release()
