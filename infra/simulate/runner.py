"""Sends what the simulation makes: history at full speed, then the present as it happens."""

import time
from collections.abc import Callable, Iterable
from threading import Event
from typing import Protocol

from infra.simulate.simulation import Message, Simulation

_BATCH_ROWS = 20_000
"""Messages made at once: bounds memory."""
_LIVE_STEP_S = 0.1


class Producer(Protocol):
    """What simulator and replay need of a Kafka producer; see infra.kafka.producer."""

    def produce_many(self, topic: str, messages: Iterable[Message]) -> None:
        """Hand over messages; waits while the producer's queue is full."""
        ...

    def flush(self) -> object:
        """Wait until all messages are delivered; raises when one was not."""
        ...


def wall_clock_ms() -> int:
    """Now, epoch milliseconds."""
    return time.time_ns() // 1_000_000


def history(
    simulation: Simulation,
    producer: Producer,
    *,
    topic: str,
    from_ms: int,
    to_ms: int,
    stop: Event | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Send everything of from_ms <= time < to_ms at full speed, or until `stop` is set.

    Returns the number of messages, all delivered.

    on_progress: told after each batch up to which time (epoch milliseconds) all is handed over.
    """
    sent, step_ms = 0, simulation.rows_to_ms(_BATCH_ROWS)
    for start in range(from_ms, to_ms, step_ms):
        if stop is not None and stop.is_set():
            break
        end = min(start + step_ms, to_ms)
        messages = simulation.batch(start, end)
        producer.produce_many(topic, messages)
        sent += len(messages)
        if on_progress is not None:
            on_progress(end)
    producer.flush()
    return sent


def live(
    simulation: Simulation,
    producer: Producer,
    *,
    topic: str,
    from_ms: int,
    until_ms: int | None = None,
    stop: Event,
    clock_ms: Callable[[], int] = wall_clock_ms,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Send each message when its time has come, from from_ms on, until until_ms or until `stop` is set.

    What was due while this process was held up is caught up on. Returns the number of messages, all delivered.
    """
    sent, position = 0, from_ms
    while not stop.is_set() and (until_ms is None or position < until_ms):
        now = clock_ms() if until_ms is None else min(clock_ms(), until_ms)
        end = min(now, position + simulation.rows_to_ms(_BATCH_ROWS))
        if end > position:
            messages = simulation.batch(position, end)
            producer.produce_many(topic, messages)
            sent += len(messages)
            position = end
        if on_progress is not None:
            on_progress(position)
        if position >= now and position != until_ms:
            stop.wait(_LIVE_STEP_S)
    producer.flush()
    return sent
