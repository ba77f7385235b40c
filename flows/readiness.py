"""How far a flow is with its start, over all processes that make it up; what a worker process tells of itself."""

import json
import os
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from threading import Thread
from typing import Literal, Protocol

from operators.intake import Intake, MakeIntake, SourceState

BEAT_S = 1.0
"""How often a process says that it lives."""

Word = Literal["reached", "takes", "failed", "refused", "beat"]


class Readiness:
    """Ready is a flow whose processes have all reached Kafka and ClickHouse and read all partitions between them.

    Written by one thread, asked by any. processes: the numbers of those that are waited for. over_hosts: there are
    others, which they have to reach too.
    """

    def __init__(self, processes: Iterable[int] = (0,), *, over_hosts: bool = False) -> None:
        self._starting = frozenset(processes)
        self._what = "Kafka, ClickHouse and the other hosts" if over_hosts else "Kafka and ClickHouse"
        self._unread: frozenset[str] | None = None
        self._taken: frozenset[str] = frozenset()

    def reached(self, process: int, partitions: Collection[str]) -> None:
        """A process has reached Kafka and ClickHouse; partitions: all that the flow reads, in whichever process."""
        self._starting -= {process}
        self._unread = frozenset(partitions) - self._taken

    def takes(self, partition: str) -> None:
        """A partition's source is built: its state is loaded, it is read from now on."""
        self._taken |= {partition}
        if self._unread is not None:
            self._unread -= self._taken

    @property
    def missing(self) -> list[str]:
        """What is not ready, one line each."""
        starting = [f"process {process} has not reached {self._what} yet" for process in sorted(self._starting)]
        return starting or [f"partition {partition} is not read yet" for partition in sorted(self._unread or ())]


class Report(Protocol):
    """Whom a worker process tells how far it is."""

    def reached(self, partitions: Collection[str]) -> None:
        """Kafka and ClickHouse are reached; these are all partitions of the flow."""

    def takes(self, partition: str) -> None:
        """The partition is read from now on."""

    def failed(self) -> None:
        """A source has ended for a reason people can act on: the whole flow is to drain."""

    def refused(self, message: str) -> None:
        """It ends because of something that starting again does not heal."""


class PipeReport:
    """Of a worker to the supervisor that started it: lines of JSON, [word, ...], on a pipe, and a beat every second."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        os.set_inheritable(fd, False)  # helpers would keep it open when this process is gone
        # A supervisor that does not read must not hold the flow up.
        os.set_blocking(fd, False)
        Thread(target=self._beat, name="beat", daemon=True).start()

    def reached(self, partitions: Collection[str]) -> None:
        """See Report."""
        self._tell("reached", *partitions)

    def takes(self, partition: str) -> None:
        """See Report."""
        self._tell("takes", partition)

    def failed(self) -> None:
        """See Report."""
        self._tell("failed")

    def refused(self, message: str) -> None:
        """See Report."""
        self._tell("refused", message)

    def _beat(self) -> None:
        while True:
            self._tell("beat")
            time.sleep(BEAT_S)

    def _tell(self, word: Word, *more: str) -> None:
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(self._fd, json.dumps([word, *more]).encode() + b"\n")


def reporting(make: MakeIntake, report: Report) -> MakeIntake:
    """`make`, which also reports the partition it is called for."""

    def made(topic: str, partition: int, state: SourceState | None) -> Intake:
        intake = make(topic, partition, state)
        report.takes(f"{topic}/{partition}")
        return intake

    return made
