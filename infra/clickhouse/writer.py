"""One background thread that stores rows: gathers them per table, inserts, retries, and answers for each of them.

write(rows) --> buffers, one per table --> thread: insert --> ClickHouse
    |  waits while they are full              |  tries again while ClickHouse is away
flush() <------- every row so far acknowledged, or an error that will not heal
"""

import math
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import pyarrow as pa
from clickhouse_connect.driver.client import Client
from prometheus_client import Counter, Gauge

from infra.clickhouse.client import Address, ClickHouseError, Outage, connect
from infra.clickhouse.encode import merge, to_arrow
from infra.clickhouse.gather import gather
from infra.clickhouse.insert import insert
from infra.observe import metrics
from infra.observe.meters import inserting
from operators.batches import Rows

LINGER_S = 0.1
"""The first rows after a pause wait this long for company."""

REST_S = 1.0
"""Least distance of small inserts into one table, for each leaves a part behind that ClickHouse must merge."""

_CLOSE_S = 5.0
"""How long closing waits for an insert under way."""

INSERT_ROWS = 20_000
INSERT_BYTES = 8 * 2**20
"""As many rows or bytes of one table are inserted at once, without waiting for more."""


@dataclass(frozen=True, slots=True)
class WriterStats:
    """What a writer has done so far, and what waits in it.

    rows, inserts: acknowledged by ClickHouse. failures: attempts that were repeated. outages: times ClickHouse went
    away. blocked_s: how long `write` had to wait for room. buffered_bytes: not yet acknowledged.
    waiting_writes: calls of `write` that wait for room now.
    """

    rows: int = 0
    inserts: int = 0
    failures: int = 0
    outages: int = 0
    blocked_s: float = 0.0
    buffered_bytes: int = 0
    waiting_writes: int = 0


_METRICS: dict[str, Counter | Gauge] = {
    "failures": metrics.INSERT_RETRIES,
    "outages": metrics.CLICKHOUSE_OUTAGES,
    "blocked_s": metrics.WRITE_BLOCKED,
    "buffered_bytes": metrics.BUFFERED_BYTES,
}
"""Counts of `WriterStats` that Prometheus is told as they are."""


class _Piece(NamedTuple):
    number: int
    since_s: float
    rows: pa.Table


@dataclass(slots=True)
class _Buffer:
    """Pieces for one table, all with the same columns, in the order they came."""

    table: str
    pieces: deque[_Piece] = field(default_factory=deque)
    rows: int = 0
    nbytes: int = 0
    inserted_s: float = -math.inf

    def add(self, piece: _Piece) -> None:
        self.pieces.append(piece)
        self.rows += piece.rows.num_rows
        self.nbytes += piece.rows.nbytes

    def take(self) -> list[_Piece]:
        """The oldest pieces, about one insert's worth."""
        taken: list[_Piece] = []
        rows = nbytes = 0
        while self.pieces and rows < INSERT_ROWS and nbytes < INSERT_BYTES:
            piece = self.pieces.popleft()
            rows += piece.rows.num_rows
            nbytes += piece.rows.nbytes
            taken.append(piece)
        self.rows -= rows
        self.nbytes -= nbytes
        return taken

    @property
    def due_s(self) -> float:
        """When to insert what is there."""
        since_s = self.pieces[0].since_s
        if self.rows >= INSERT_ROWS or self.nbytes >= INSERT_BYTES:
            return since_s
        return max(since_s + LINGER_S, self.inserted_s + REST_S)


class Writer:
    """Stores rows in the background; safe to use from several threads.

    max_buffered_bytes: rows taken in but not yet acknowledged, at most (one larger piece alone still passes).
    Inserts that fail while ClickHouse is away are repeated for ever, never dropped. When ClickHouse refuses rows for
    good, the next `write` or `flush` raises ClickHouseError.
    """

    def __init__(self, address: Address, *, max_buffered_bytes: int = 16 * 2**20) -> None:
        self._address = address
        self._max_buffered_bytes = max_buffered_bytes
        self._changed = threading.Condition()
        self._buffers: dict[tuple[str, ...], _Buffer] = {}
        self._in_flight: list[_Piece] = []
        self._number = 0
        self._flush_upto = 0
        self._closing = False
        self._error: BaseException | None = None
        self._stats = WriterStats()
        self._client: Client | None = None
        self._outage = Outage(str(address))
        self._thread = threading.Thread(target=self._run, name="clickhouse-writer", daemon=True)
        self._thread.start()

    @property
    def stats(self) -> WriterStats:
        """The counts of now."""
        with self._changed:
            return self._stats

    def write(self, batches: Sequence[Rows]) -> None:
        """Take rows of any tables in; waits while too much is buffered.

        Their arrays must not change afterwards. Raises ValueError when they do not fit their table, ClickHouseError
        when ClickHouse refuses these or earlier rows for good.
        """
        for rows in gather(batches):
            for piece in _slices(to_arrow(rows)):
                self._take_in(rows.table, piece)

    def flush(self) -> None:
        """Wait until every row taken in before is acknowledged. Raises ClickHouseError when that will never be."""
        with self._changed:
            upto = self._number
            self._flush_upto = max(self._flush_upto, upto)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._error is not None or self._oldest() > upto)
            self._raise_failure()

    def close(self) -> None:
        """Stop, without storing what was not flushed: a flow writes that again. Never raises."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(_CLOSE_S)

    def _take_in(self, name: str, rows: pa.Table) -> None:
        with self._changed:
            self._wait_for_room(rows.nbytes)
            self._number += 1
            buffer = self._buffers.setdefault((name, *rows.column_names), _Buffer(name))
            buffer.add(_Piece(self._number, time.monotonic(), rows))
            self._count(buffered_bytes=rows.nbytes)
            self._changed.notify_all()

    def _wait_for_room(self, nbytes: int) -> None:
        def fits() -> bool:
            used = self._stats.buffered_bytes
            return self._error is not None or not used or used + nbytes <= self._max_buffered_bytes

        if not fits():
            began_s = time.monotonic()
            self._count(waiting_writes=1)
            self._changed.notify_all()
            self._changed.wait_for(fits)
            self._count(waiting_writes=-1, blocked_s=time.monotonic() - began_s)
        self._raise_failure()

    def _count(self, **more: float) -> None:
        for name in more.keys() & _METRICS.keys():
            _METRICS[name].inc(more[name])
        self._stats = replace(self._stats, **{name: getattr(self._stats, name) + more[name] for name in more})

    def _raise_failure(self) -> None:
        if self._error is not None:
            raise self._error

    def _oldest(self) -> int:
        """Number of the oldest piece not yet acknowledged."""
        numbers = [buffer.pieces[0].number for buffer in self._buffers.values() if buffer.pieces]
        return min(numbers + [piece.number for piece in self._in_flight], default=self._number + 1)

    # From here on: the thread.

    def _run(self) -> None:
        error: BaseException = ClickHouseError("this ClickHouse writer is closed")
        try:
            while (buffer := self._next()) is not None:
                self._store(buffer, merge([piece.rows for piece in self._in_flight]))
        # Whatever it is, whoever waits for these rows must hear of it.
        except BaseException as caught:
            error = caught
        with self._changed:
            self._error = error
            metrics.BUFFERED_BYTES.dec(self._stats.buffered_bytes)  # of this writer, which is done
            self._changed.notify_all()
        if self._client is not None:
            self._client.close()

    def _next(self) -> _Buffer | None:
        """Wait for a buffer that is due and put its pieces in flight; None at the end."""
        with self._changed:
            while not self._closing:
                filled = [buffer for buffer in self._buffers.values() if buffer.pieces]
                now_s = time.monotonic()
                due = [buffer for buffer in filled if self._hurry(buffer) or buffer.due_s <= now_s]
                if due:
                    first = min(due, key=lambda buffer: buffer.pieces[0].number)
                    self._in_flight = first.take()
                    first.inserted_s = now_s
                    return first
                self._changed.wait(min((buffer.due_s - now_s for buffer in filled), default=None))
        return None

    def _hurry(self, buffer: _Buffer) -> bool:
        return self._stats.waiting_writes > 0 or buffer.pieces[0].number <= self._flush_upto

    def _store(self, buffer: _Buffer, rows: pa.Table) -> None:
        """Insert what is in flight, however often it takes."""
        while True:
            try:
                self._client = self._client or connect(self._address)
                with inserting(buffer.table, rows.num_rows):
                    insert(self._client, buffer.table, rows)
                break
            except ClickHouseError as error:
                _forget_frames(error)
                self._failed(error)
        self._outage.over()
        metrics.INSERTED_ROWS.labels(buffer.table).inc(rows.num_rows)
        with self._changed:
            self._count(rows=rows.num_rows, inserts=1, buffered_bytes=-sum(p.rows.nbytes for p in self._in_flight))
            self._in_flight = []
            self._changed.notify_all()

    def _failed(self, error: ClickHouseError) -> None:
        """Pause before the next attempt; raises when there is to be none."""
        if not error.transient:
            raise ClickHouseError(
                f"{error}. The flow stops; nothing is lost: it goes on from its last snapshot", code=error.code
            )
        with self._changed:
            self._count(failures=1, outages=0 if self._outage.lasts else 1)
            pause_s = self._outage.failed(error, held="rows are held back meanwhile")
            if self._changed.wait_for(lambda: self._closing, pause_s):
                raise error


def _forget_frames(error: BaseException | None) -> None:
    """Let go of what a failed attempt was about to send.

    The client's errors refer to themselves by the frames they passed through, and so keep the block that was sent
    until Python looks for cycles, which a worker that waits for ClickHouse does not.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _slices(table: pa.Table) -> Iterator[pa.Table]:
    """A table in pieces of at most about one insert's worth."""
    share = max(table.num_rows / INSERT_ROWS, table.nbytes / INSERT_BYTES)
    length = max(1, math.ceil(table.num_rows / max(share, 1)))
    for start in range(0, table.num_rows, length):
        yield table.slice(start, length)
