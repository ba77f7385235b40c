"""What watches steps at work. It reads the clock, which operators do not, so a flow brings it along."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from operators.clock import ShardBatch
from operators.sensors import SensorOutput


class Meter(Protocol):
    """Told once per batch and once per snapshot of a key; must neither change what it is shown nor keep it."""

    def working(self, step: str) -> AbstractContextManager[Any]:
        """Around what a step does with one key's batches."""
        ...

    def packing(self, step: str) -> AbstractContextManager[Any]:
        """Around the making of one key's snapshot."""
        ...

    def packed(self, step: str, nbytes: int, before: int) -> None:
        """A key's snapshot has so many bytes now; `before` is 0 for its first."""
        ...

    def judged(self, batches: Sequence[ShardBatch], outputs: Sequence[SensorOutput]) -> None:
        """What the sensor step made of batches of one shard, one output each."""
        ...


class _Unmetered:
    def working(self, step: str) -> AbstractContextManager[Any]:
        return nullcontext()

    def packing(self, step: str) -> AbstractContextManager[Any]:
        return nullcontext()

    def packed(self, step: str, nbytes: int, before: int) -> None:
        return None

    def judged(self, batches: Sequence[ShardBatch], outputs: Sequence[SensorOutput]) -> None:
        return None


UNMETERED: Meter = _Unmetered()
"""Watches nothing."""
