"""What the HTTP service needs of the world around it; `flows` brings Kafka and ClickHouse."""

from collections.abc import Callable, Sequence
from typing import Protocol

Message = tuple[int, bytes, bytes]
"""Partition, key, value."""


class Outlet(Protocol):
    """Takes messages to Kafka without waiting; see infra.kafka.deliveries."""

    waiting: int
    waiting_bytes: int
    failed: int

    @property
    def stalled_s(self) -> float:
        """For how long nothing that waits was delivered; 0 when nothing waits."""
        ...

    def offer(self, messages: Sequence[Message], timestamp_ms: int, ended: Callable[[int], None] | None = None) -> bool:
        """Take all or, when there is no room, none; `ended` is told how many were not delivered."""
        ...

    def serve(self) -> None:
        """Let delivery reports in; raises when waiting is of no use any more."""
        ...
