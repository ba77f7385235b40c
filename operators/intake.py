"""What a source does with one partition's messages: decode, guard the clock, count, stamp the watermark."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from operators.batches import Messages, ReadingBatch, Rows

LEDGER_BUCKET = 100_000
"""Offsets per row of the ledger."""

NO_WATERMARK = int(np.iinfo(np.int64).min)
"""The watermark of a partition without readings."""

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
