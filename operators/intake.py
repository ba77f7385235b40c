"""What a source does with one partition's messages: decode, guard the clock, count, stamp the watermark."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from models.slots import runs
from operators.batches import LATE, ON_TIME, Ints, Messages, ReadingBatch, Rows
from operators.decode import Decoded, decode
from operators.framed import Schemas
from operators.registry import Registry
from operators.reject_limit import RejectLimit
from operators.rejects import to_rows
from operators.series_codes import SeriesCodes

LEDGER_BUCKET = 100_000
"""Offsets per row of the ledger."""

NO_WATERMARK = int(np.iinfo(np.int64).min)
"""The watermark of a partition without readings."""

MAX_SERIES = 1_000_000
"""Label combinations one partition may have before their dictionary starts anew, so that memory stays bounded."""

SourceState = tuple[Any, ...]
"""What a source keeps in its snapshot: plain values, the next offset first."""


class TooManyRejects(Exception):
    """More of the last readings were refused than the configured share: stop instead of draining a topic."""


class Tally(NamedTuple):
    """What was counted in one stretch of a partition's offsets since the last batch; `bucket` is its first offset."""

    bucket: int
    messages: int
    readings: int
    rejected: int


@dataclass(frozen=True, slots=True)
class IntakeBatch:
    """What became of some consecutive messages of one partition (or of none, when the partition fell idle).

    readings: the good ones; lateness is ON_TIME or LATE by the partition's own watermark.
    rejects: rows for the table dead_letters; None when nothing was refused.
    tallies: what to add to the ledger, per bucket of LEDGER_BUCKET offsets.
    watermark_ms: the partition's watermark after these messages; NO_WATERMARK before the first reading.
    idle: the partition is caught up and silent (or has never held a reading): it must not hold windows back.
    """

    topic: str
    partition: int
    readings: ReadingBatch | None
    rejects: Rows | None
    tallies: tuple[Tally, ...]
    watermark_ms: int
    idle: bool

    @property
    def source(self) -> str:
        """ "topic/partition"."""
        return f"{self.topic}/{self.partition}"


class Intake(Protocol):
    """One per partition; built by the flow, driven by whichever source polls the messages."""

    def feed(self, messages: Messages) -> IntakeBatch:
        """Decode and stamp messages that follow the last ones fed. Raises TooManyRejects."""
        ...

    def idle(self) -> IntakeBatch | None:
        """Told when the partition is caught up and has been silent for idle_after (or has never held a message).

        None when that is known already.
        """
        ...

    def snapshot(self) -> SourceState:
        """Plain state to go on from; element 0 is the offset of the next message, -1 when none was ever fed."""
        ...


class MakeIntake(Protocol):
    """How a source gets its partitions' intakes."""

    def __call__(self, topic: str, partition: int, state: SourceState | None) -> Intake: ...


@dataclass(frozen=True, slots=True)
class IntakeConfig:
    """What the settings say about taking messages in.

    lateness_ms: how much older than the partition's newest reading a reading may be and still be on time.
    max_ahead_ms: how far a time stamp may lie after its Kafka message's own.
    dead_letter_share, dead_letter_window: more than this share refused of so many readings stops the flow.
    """

    lateness_ms: int = 10_000
    max_ahead_ms: int = 60_000
    max_payload_bytes: int = 1_000_000
    dead_letter_share: float = 0.5
    dead_letter_window: int = 10_000


class PartitionIntake:
    """The Intake of one partition: what comes out depends on the partition's contents only, not on its batches.

    schemas: those of payloads that a schema registry frames; must know all that occur.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        *,
        config: IntakeConfig,
        registry: Registry,
        state: SourceState | None = None,
        schemas: Schemas | None = None,
    ) -> None:
        self._schemas = schemas
        self._topic, self._partition = topic, partition
        self._config, self._registry = config, registry
        self._codes = SeriesCodes(registry)
        self._idle = False
        self._next_offset, self._newest_ms, rejects = state or (-1, None, None)
        self._limit = RejectLimit(share=config.dead_letter_share, window=config.dead_letter_window, state=rejects)

    def feed(self, messages: Messages) -> IntakeBatch:
        """Decode and stamp messages that follow the last ones fed.

        Raises TooManyRejects when the messages fed before went over the limit: their rejects were given out first.
        """
        self._stop_when_exceeded()
        if len(self._codes) > MAX_SERIES:
            self._codes = SeriesCodes(self._registry)
        decoded = decode(
            messages,
            self._codes,
            max_payload_bytes=self._config.max_payload_bytes,
            max_ahead_ms=self._config.max_ahead_ms,
            schemas=self._schemas,
        )
        rejects = decoded.rejects
        self._limit.count(decoded.message, decoded.idx, rejects, messages.offsets)
        readings = self._stamp(decoded, messages.offsets) if len(decoded.message) else None
        if len(messages):
            self._next_offset = int(messages.offsets[-1]) + 1
            self._idle = False
        return IntakeBatch(
            self._topic,
            self._partition,
            readings,
            to_rows(rejects, messages, topic=self._topic, partition=self._partition) if rejects else None,
            _tallies(decoded, messages.offsets),
            self._watermark_ms,
            self._idle,
        )

    def idle(self) -> IntakeBatch | None:
        """Fall idle; None when the partition is idle already. Raises TooManyRejects as `feed` does."""
        self._stop_when_exceeded()
        if self._idle:
            return None
        self._idle = True
        return IntakeBatch(self._topic, self._partition, None, None, (), self._watermark_ms, True)

    def _stop_when_exceeded(self) -> None:
        if self._limit.exceeded:
            raise TooManyRejects(
                f"{self._topic}/{self._partition}: {self._limit.exceeded}. The table dead_letters holds them. "
                "Correct the producer or the configuration; to let them pass all the same, raise "
                "quality.dead_letter_share (1 never stops)"
            )

    def snapshot(self) -> SourceState:
        """(next offset or -1, newest event time in ms or None, state of the dead-letter limit)."""
        return self._next_offset, self._newest_ms, self._limit.state()

    @property
    def _watermark_ms(self) -> int:
        return NO_WATERMARK if self._newest_ms is None else self._newest_ms - self._config.lateness_ms

    def _stamp(self, decoded: Decoded, offsets: Ints) -> ReadingBatch:
        newest = np.maximum.accumulate(decoded.time_ms)
        if self._newest_ms is not None:
            np.maximum(newest, self._newest_ms, out=newest)
        self._newest_ms = int(newest[-1])
        watermark = newest - self._config.lateness_ms
        return ReadingBatch(
            self._codes.series,
            decoded.code,
            decoded.time_ms,
            decoded.value,
            offsets[decoded.message],
            decoded.idx,
            watermark,
            np.where(decoded.time_ms < watermark, LATE, ON_TIME).astype(np.uint8),
            decoded.seq,
            decoded.attributes,
            decoded.label,
        )


def _tallies(decoded: Decoded, offsets: Ints) -> tuple[Tally, ...]:
    refused = np.array([reject.message for reject in decoded.rejects], np.int64)
    buckets = offsets // LEDGER_BUCKET
    names = [name for name, _ in runs(buckets)]
    good, bad = buckets[decoded.message], buckets[refused]
    return tuple(
        Tally(
            name * LEDGER_BUCKET,
            messages=int(np.count_nonzero(buckets == name)),
            readings=int(np.count_nonzero(good == name) + np.count_nonzero(bad == name)),
            rejected=int(np.count_nonzero(bad == name)),
        )
        for name in names
    )
