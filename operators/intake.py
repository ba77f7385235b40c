"""What a source does with one partition's messages: decode, guard the clock, count, stamp the watermark."""

from dataclasses import dataclass
from typing import Any, Protocol

from operators.batches import Messages

SourceState = tuple[Any, ...]
"""What a source keeps in its snapshot: plain values, the next offset first."""


class TooManyRejects(Exception):
    """More of the last readings were refused than the configured share: stop instead of draining a topic."""


@dataclass(frozen=True, slots=True)
class IntakeBatch:
    """What became of some consecutive messages of one partition (or of none, when the partition fell idle)."""

    partition: str


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
