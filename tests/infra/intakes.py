"""The smallest intake: keeps the numbers that `tests.kafka.fill` wrote, and counts them in its state."""

from collections import defaultdict

from operators.batches import Messages
from operators.intake import NO_WATERMARK, IntakeBatch, SourceState


class Seen:
    """What the intakes of one run were fed, by "topic/partition"."""

    def __init__(self) -> None:
        self.batches: defaultdict[str, list[Messages]] = defaultdict(list)
        self.resumed: dict[str, SourceState | None] = {}

    def make(self, topic: str, partition: int, state: SourceState | None) -> "NumberIntake":
        """As `operators.intake.MakeIntake`."""
        self.resumed[f"{topic}/{partition}"] = state
        return NumberIntake(self, topic, partition, state)

    def numbers(self, source: str) -> list[int]:
        """Everything that was fed to one partition's intake."""
        return [int(payload or b"-1") for batch in self.batches[source] for payload in batch.payloads]

    def count(self) -> int:
        """Messages fed to all."""
        return sum(len(batch) for batches in self.batches.values() for batch in batches)


class NumberIntake:
    """State: (next offset, messages fed)."""

    def __init__(self, seen: Seen, topic: str, partition: int, state: SourceState | None) -> None:
        self._seen, self._topic, self._partition = seen, topic, partition
        self._next_offset, self._count = state or (-1, 0)
        self._idle = False

    def feed(self, messages: Messages) -> IntakeBatch:
        self._seen.batches[f"{self._topic}/{self._partition}"].append(messages)
        self._next_offset = int(messages.offsets[-1]) + 1
        self._count += len(messages)
        self._idle = False
        return self._batch()

    def idle(self) -> IntakeBatch | None:
        if self._idle:
            return None
        self._idle = True
        return self._batch()

    def snapshot(self) -> SourceState:
        return self._next_offset, self._count

    def _batch(self) -> IntakeBatch:
        return IntakeBatch(self._topic, self._partition, None, None, (), NO_WATERMARK, self._idle)
