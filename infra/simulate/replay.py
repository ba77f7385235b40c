"""Recorded data as a stream: files merged by event time, in memory of bounded size."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from heapq import merge
from operator import itemgetter
from pathlib import Path
from threading import Event

from infra.simulate import cells
from infra.simulate.files import ReplayError, Row, rows
from infra.simulate.mapping import ColumnMapping, Plan, plans
from infra.simulate.payload import Encoder, tail
from infra.simulate.runner import Producer, wall_clock_ms
from infra.simulate.simulation import Message

MAX_PROBLEMS = 20
"""Problems kept per file; all are counted."""

_PROGRESS_READINGS = 10_000

Step = tuple[int, list[Message]]
"""The messages of one row, and the time the replay has reached (it never goes back), epoch milliseconds."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What could not be replayed: a whole row or one cell of it."""

    line: int
    reason: str


@dataclass(slots=True)
class FileSummary:
    """What was replayed of one file so far.

    rows: read, good and bad. readings: sent. empty: cells without a value. refused: rows or cells that could not be
    understood; problems: the first of them. first_ms, last_ms: smallest and largest event time sent, after shifting.
    """

    path: Path
    rows: int = 0
    readings: int = 0
    empty: int = 0
    refused: int = 0
    problems: list[Problem] = field(default_factory=list)
    first_ms: int | None = None
    last_ms: int | None = None

    def sent(self, readings: int, time_ms: int) -> None:
        """Count readings of one time."""
        self.readings += readings
        self.first_ms = time_ms if self.first_ms is None else min(self.first_ms, time_ms)
        self.last_ms = time_ms if self.last_ms is None else max(self.last_ms, time_ms)

    def refuse(self, line: int, reason: str) -> None:
        """Count what could not be understood."""
        self.refused += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(line, reason))


class Replay:
    """Files as one stream of messages in order of event time.

    start_ms: shift all times so that the earliest one is this; end_ms: so that the latest one is.
    Rows of one file keep their order: a row older than its predecessors comes right after them, as it would have.
    Raises ReplayError at once for files that cannot be understood.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        mapping: ColumnMapping | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> None:
        if start_ms is not None and end_ms is not None:
            raise ReplayError("start_ms and end_ms are both given; times can be shifted to one of them only")
        if len(set(paths)) < len(paths):
            raise ReplayError(f"{next(p for p in paths if paths.count(p) > 1)}: given twice")
        found = plans(paths, mapping or ColumnMapping())
        self.plans = [plan for plan in found if plan is not None]
        self._paths = list(paths)
        self._start_ms, self._end_ms = start_ms, end_ms
        self.files = [FileSummary(path) for path in paths]

    def messages(self) -> Iterator[Message]:
        """All messages; their time stamp is the event time. `files` is filled meanwhile, from zero on each call."""
        for _, messages in self.steps():
            yield from messages

    def steps(self) -> Generator[Step]:
        """The same row by row."""
        shift_ms = self._shift_ms()
        self.files = [FileSummary(path) for path in self._paths]
        summaries = {summary.path: summary for summary in self.files}
        with ExitStack() as opened:
            files = [_file_steps(plan, summaries[plan.path], shift_ms) for plan in self.plans]
            yield from merge(*(opened.enter_context(closing(steps)) for steps in files), key=itemgetter(0))

    def _shift_ms(self) -> int:
        if self._start_ms is None and self._end_ms is None:
            return 0
        spans = [span for plan in self.plans if (span := _span(plan)) is not None]
        if not spans:
            return 0
        if self._start_ms is not None:
            return self._start_ms - min(first for first, _ in spans)
        return (self._end_ms or 0) - max(last for _, last in spans)


def replay(
    source: Replay,
    producer: Producer,
    *,
    topic: str,
    speed: float = 0.0,
    stop: Event,
    clock_ms: Callable[[], int] = wall_clock_ms,
    on_progress: Callable[[int], None] | None = None,
) -> list[FileSummary]:
    """Send a replay, until its end or until `stop` is set; all that was sent is delivered on return.

    speed: event time per wall-clock time: 1 is as it happened, 60 a minute a second, 0 as fast as possible.
    on_progress: told now and then how many readings were handed over.
    Raises ReplayError.
    """
    if speed < 0:
        raise ReplayError(f"speed = {speed:g}: must be 0 (as fast as possible) or more")
    try:
        with closing(source.steps()) as steps:
            _play(steps, producer, topic, speed, stop, clock_ms, on_progress)
    finally:
        # Also after a file broke: what was sent before is delivered.
        producer.flush()
    return source.files


def _play(
    steps: Iterable[Step],
    producer: Producer,
    topic: str,
    speed: float,
    stop: Event,
    clock_ms: Callable[[], int],
    on_progress: Callable[[int], None] | None,
) -> None:
    sent, begun = 0, None
    for reached_ms, messages in steps:
        if speed:
            begun = begun or (clock_ms(), reached_ms)
            due_ms = begun[0] + (reached_ms - begun[1]) / speed
            while (ahead_ms := due_ms - clock_ms()) > 0 and not stop.wait(ahead_ms / 1000):
                pass
        if stop.is_set():
            return
        producer.produce_many(topic, messages)
        before, sent = sent, sent + len(messages)
        if on_progress is not None and sent // _PROGRESS_READINGS > before // _PROGRESS_READINGS:
            on_progress(sent)


def _span(plan: Plan) -> tuple[int, int] | None:
    """The earliest and the latest time of a file; it is read once for that."""
    first_ms = last_ms = None
    with closing(rows(plan.path)) as reader:
        for row in reader:
            if isinstance(row, Row):
                with suppress(ValueError):
                    time_ms = cells.epoch_ms(row.cells.get(plan.time), plan.zone)
                    first_ms = time_ms if first_ms is None else min(first_ms, time_ms)
                    last_ms = time_ms if last_ms is None else max(last_ms, time_ms)
    return None if first_ms is None or last_ms is None else (first_ms, last_ms)


def _file_steps(plan: Plan, summary: FileSummary, shift_ms: int) -> Generator[Step]:
    reached_ms = 0
    with closing(rows(plan.path)) as reader:
        for row in reader:
            summary.rows += 1
            if not isinstance(row, Row):
                summary.refuse(row.line, row.reason)
                continue
            try:
                time_ms = cells.epoch_ms(row.cells.get(plan.time), plan.zone) + shift_ms
            except ValueError as error:
                summary.refuse(row.line, f"{plan.time}: {error}")
                continue
            if time_ms <= 0:
                summary.refuse(row.line, f"{plan.time}: before 1970")
                continue
            messages = _messages(plan, summary, row, time_ms)
            if messages:
                reached_ms = max(reached_ms, time_ms)
                yield reached_ms, messages


def _messages(plan: Plan, summary: FileSummary, row: Row, time_ms: int) -> list[Message]:
    end = _tail(cells.ground_truth(row.cells.get(plan.label))) if plan.label else _tail("")
    messages = []
    for column, constant in plan.values:
        cell = row.cells.get(column)
        if cells.is_empty(cell):
            summary.empty += 1
            continue
        try:
            value = cells.number(cell)
            encoder = _encoder(plan.series(column, constant, row))
        except ValueError as error:
            summary.refuse(row.line, f"{column}: {error}")
            continue
        messages.append((encoder.key, encoder.encode(value, time_ms, end), time_ms))
    if messages:
        summary.sent(len(messages), time_ms)
    return messages


_encoder = lru_cache(maxsize=65_536)(Encoder)
_tail = lru_cache(maxsize=4096)(tail)
