"""A sink that counts and drops, and the recovery store of a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from bytewax.recovery import RecoveryConfig
from typing_extensions import override

from flows.recovery import Layout, make_store
from flows.settings import Settings

X = TypeVar("X")


class CallingSink(FixedPartitionedSink[X, None], Generic[X]):
    """Hands every item to a function. Like the production sink it is part of the epoch."""

    def __init__(self, take: Callable[[X], None]) -> None:
        self._take = take

    @override
    def list_parts(self) -> list[str]:
        return ["0"]

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_CallingPart[X]":
        return _CallingPart(self._take)


class _CallingPart(StatefulSinkPartition[X, None], Generic[X]):
    def __init__(self, take: Callable[[X], None]) -> None:
        self._take = take

    @override
    def write_batch(self, values: list[X]) -> None:
        for value in values:
            self._take(value)

    @override
    def snapshot(self) -> None:
        return None


def new_store(directory: Path) -> RecoveryConfig:
    """A fresh recovery store in an empty directory, made as in production."""
    make_store(directory, Layout.of("bench", Settings()))
    return RecoveryConfig(directory)
