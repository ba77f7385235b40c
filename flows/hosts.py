"""One process of a cluster over several hosts: its place among the others, and where their recovery store is.

The store lies with process 0 alone. Bytewax brings the others' snapshots there, and their states from there, over the
connections of the cluster. So the hosts need no file system between them, and a process that has lost its peers has
nothing left to write to.
"""

import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.recovery import RecoveryConfig
from typing_extensions import override

from flows.graceful import Failures
from flows.recovery import Layout, contents, open_store, stored_layout, unwritable
from flows.settings import SettingsError
from flows.store.files import StoreError
from infra.observe.health import parse_address
from operators.intake import IntakeBatch, MakeIntake, SourceState

Source = FixedPartitionedSource[IntakeBatch, SourceState]
Part = StatefulSourcePartition[IntakeBatch, SourceState]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Of a process in its cluster: its number, and where each of them listens for the others, in their order.

    over_hosts: each is started, and started again, by its own host.
    """

    process: int
    addresses: tuple[str, ...]
    over_hosts: bool


def place_among(process: int | None, addresses: Sequence[str]) -> Place:
    """A place as people give it. Raises ValueError with what was wrong."""
    if process is None or len(addresses) < 2:
        raise ValueError("a cluster over hosts needs --process-id and the --address of every process, at least two")
    for address in addresses:
        parse_address(address)
    if len(set(addresses)) < len(addresses):
        raise ValueError("two processes have the same --address")
    if process >= len(addresses):
        raise ValueError(f"--process-id {process}: with {len(addresses)} addresses it is at most {len(addresses) - 1}")
    return Place(process, tuple(addresses), over_hosts=True)


def can_listen(place: Place) -> None:
    """Raises SettingsError when this process cannot have its address, of which Bytewax would tell with traces."""
    address = place.addresses[place.process]
    host, port = parse_address(address)
    try:
        # As Bytewax will: connections of an earlier run that linger do not count.
        family, kind, number, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, number) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        raise SettingsError(
            f"process {place.process} cannot listen at --address {address} ({error.strerror or error}): is that an "
            "address of this host, and its port free?"
        ) from None


def store_of_hosts(place: Place, directory: Path, layout: Layout, *, start: str) -> RecoveryConfig:
    """What the process at this place has of the recovery store. start: kafka.start. Raises StoreError."""
    if place.process != 0:
        return _none_of(directory)
    store = open_store(directory, layout)
    _check_start(directory, start)
    return store


def _none_of(directory: Path) -> RecoveryConfig:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        held = contents(directory)
    except OSError as error:
        raise unwritable(directory, error) from None
    if held:
        raise StoreError(
            f"worker.recovery_dir = '{directory}': holds a recovery store ({min(one.name for one in held)}), but in a "
            "cluster over hosts it lies with process 0: give this host --process-id 0, or name an empty directory"
        )
    return RecoveryConfig(directory)


def _check_start(directory: Path, start: str) -> None:
    # The other hosts do not see what the store says of it.
    layout = stored_layout(directory)
    if layout is not None and layout.start not in (None, start):
        raise StoreError(
            f"the recovery store in '{directory}' was reset to begin at {layout.start}, of which other hosts do not "
            f'know: set kafka.start = "{layout.start}" on all of them'
        )


class FailuresToldAtOnce(Failures):
    """Of a process that cannot drain alone, for the other hosts read on: it may be killed before it has told why."""

    @override
    def add(self, error: Exception) -> None:
        logger.error("%s; this host stops, and the others will wait for it", error)
        super().add(error)


def tells_of_lost_peer(error: BaseException) -> bool:
    """Whether Bytewax has ended because a connection to another process did. It says so by a panic of a thread."""
    return type(error).__name__ == "PanicException" and str(error).startswith(("Send thread", "Recv thread"))


def joining(source: Callable[[MakeIntake], Any], joined: Callable[[], None]) -> Callable[[MakeIntake], Source]:
    """`source`, whose sources say when the processes of the cluster have found each other.

    source: given how to make intakes, a source of partitions. joined: called when Bytewax first asks for the parts,
    which it does once all are connected.
    """
    return lambda make: _Joining(source(make), joined)


class _Joining(Source):
    def __init__(self, source: Source, joined: Callable[[], None]) -> None:
        self._source = source
        self._joined = joined

    @override
    def list_parts(self) -> list[str]:
        self._joined()
        return self._source.list_parts()

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: SourceState | None) -> Part:
        return self._source.build_part(step_id, for_part, resume_state)
