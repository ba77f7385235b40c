"""A source whose failure drains the flow: what was read is stored and remembered before the error is told.

An exception in a source would make Bytewax abandon the epoch, with a page of traces around the one line that matters.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from typing_extensions import override

from infra.kafka.client import KafkaFailure
from operators.intake import Intake, IntakeBatch, MakeIntake, SourceState, TooManyRejects

Part = StatefulSourcePartition[IntakeBatch, SourceState]


class Failures:
    """What ended the sources of this process. stop: makes the whole flow drain, in all its processes."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._first: Exception | None = None

    def add(self, error: Exception) -> None:
        """Stop the flow because of it."""
        if self._first is None:
            self._first = error
            self._stop()

    def raise_first(self) -> None:
        """The error, if there was one, once the flow has drained."""
        if self._first is not None:
            raise self._first


class GracefulSource(FixedPartitionedSource[IntakeBatch, SourceState]):
    """A source of partitions that, when one fails for a reason people can act on, ends as if told to stop.

    source: given how to make intakes, the source itself.
    """

    def __init__(
        self,
        source: Callable[[MakeIntake], FixedPartitionedSource[IntakeBatch, SourceState]],
        make: MakeIntake,
        failures: Failures,
    ) -> None:
        self._make = make
        self._source = source(self._made)
        self._failures = failures
        self._intakes: dict[str, Intake] = {}

    def _made(self, topic: str, partition: int, state: SourceState | None) -> Intake:
        intake = self._intakes[f"{topic}/{partition}"] = self._make(topic, partition, state)
        return intake

    @override
    def list_parts(self) -> list[str]:
        return self._source.list_parts()

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: SourceState | None) -> "_Part":
        part: Any = self._source.build_part(step_id, for_part, resume_state)
        return _Part(part, self._intakes[for_part], self._failures)


class _Part(StatefulSourcePartition[IntakeBatch, SourceState]):
    def __init__(self, part: Part, intake: Intake, failures: Failures) -> None:
        self._part = part
        self._intake = intake
        self._failures = failures
        self._refused = False

    @override
    def next_batch(self) -> Iterable[IntakeBatch]:
        try:
            return self._part.next_batch()
        except (TooManyRejects, KafkaFailure) as error:
            self._refused = isinstance(error, TooManyRejects)
            self._failures.add(error)
            raise StopIteration from None

    @override
    def next_awake(self) -> datetime | None:
        return self._part.next_awake()

    @override
    def snapshot(self) -> SourceState:
        # What the intake refused to take in was polled, but must be read again.
        return self._intake.snapshot() if self._refused else self._part.snapshot()

    @override
    def close(self) -> None:
        self._part.close()
