"""Where the flow under chaos runs: a broker and a ClickHouse of its own behind proxies, and who keeps it running."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from signal import SIGCONT, SIGTERM
from time import monotonic, sleep
from types import TracebackType
from typing import Self

from infra.clickhouse.client import Address, ClickHouseError, connect, explained
from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.embedded.process import ChildProcess
from infra.kafka.admin import group_lag
from infra.kafka.client import Connection
from tests.kafka import new_topic
from tests.recovery.proxy import Proxy
from tests.running import Site, create_tables, processes_of_cluster

PARTITIONS = 4
PROCESSES = 2
_CHAOS, _UNDISTURBED = "chaos", "undisturbed"
_LAST = 20
"""Among so many messages of a partition there is a reading that is stored."""
_POLL_S = 0.05
_PATIENCE_S = 180.0
_STORE_BYTES = 2**31

SETTINGS = {
    "WORKER__EPOCH": "2s",
    "WORKER__MAX_RESTARTS": "1000",
    "EVENT_TIME__IDLE_AFTER": "0s",  # the wall clock's only say in the tables
}
"""Of the flow under chaos and of the undisturbed one, as environment without its prefix."""


class Stuck(Exception):
    """The flow does not go on."""


class SmallDisk:
    """A file system in memory, whose size can be taken away."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._mount("-t", "tmpfs", "-o", f"size={_STORE_BYTES}", "tmpfs")

    def fill(self) -> None:
        """No space is left."""
        used = os.statvfs(self._directory)
        self._mount("-o", f"remount,size={(used.f_blocks - used.f_bfree) * used.f_frsize}")

    def empty(self) -> None:
        """There is space again."""
        self._mount("-o", f"remount,size={_STORE_BYTES}")

    def close(self) -> None:
        """Be gone."""
        subprocess.run(["umount", "--lazy", str(self._directory)], check=True)

    def _mount(self, *arguments: str) -> None:
        subprocess.run(["mount", *arguments, str(self._directory)], check=True)


def can_fill_disks() -> bool:
    """Whether file systems can be mounted: as root, where the machine lets it."""
    return os.geteuid() == 0 and shutil.which("mount") is not None


class Stage:
    """One flow, reached by proxies; afterwards one that nothing disturbs reads the same topic.

    home: an empty directory. small_disk: the recovery store lies on a disk that can be filled.
    """

    def __init__(self, home: Path, *, small_disk: bool) -> None:
        self.broker = Broker(home / "broker")
        self.clickhouse = EmbeddedClickHouse(home / "clickhouse", log=home / "clickhouse.log")
        self.broker.start()
        self.clickhouse.start()
        self.broker_proxy = Proxy(int(self.broker.bootstrap.rpartition(":")[2]), kafka=True)
        self.clickhouse_proxy = Proxy(self.clickhouse.port)
        self.topic = new_topic(self.broker, partitions=PARTITIONS)
        self.direct = self._site(home, _CHAOS, self.broker.bootstrap, self.clickhouse.port)
        proxied = f"127.0.0.1:{self.broker_proxy.port}"
        self.proxied = self._site(home, _CHAOS, proxied, self.clickhouse_proxy.port)
        self.undisturbed = self._site(home, _UNDISTURBED, self.broker.bootstrap, self.clickhouse.port)
        create_tables(self.direct)
        self.disk = SmallDisk(self.recovery_dir) if small_disk else None
        self._flow: ChildProcess | None = None

    def _site(self, home: Path, name: str, bootstrap: str, clickhouse_port: int) -> Site:
        return Site(
            home=home / name, bootstrap=bootstrap, topic=self.topic, clickhouse_port=clickhouse_port, database=name
        )

    @property
    def recovery_dir(self) -> Path:
        """The recovery store of the flow under chaos."""
        return self.proxied.home / "recovery"

    @property
    def flow(self) -> ChildProcess:
        """The flow's supervisor."""
        if self._flow is None:
            raise RuntimeError("the flow has not been started")
        return self._flow

    @property
    def workers(self) -> list[int]:
        """Process ids of the workers, in their order."""
        return processes_of_cluster(self.flow.pid)

    def start(self) -> None:
        """Start the flow, as a service manager does."""
        self._flow = self.proxied.worker("--processes", str(PROCESSES), **SETTINGS)
        self._flow.start()

    def keep_running(self) -> None:
        """Start the flow again when it has ended, as a service manager does."""
        if self.flow.returncode is not None:
            self.flow.stop()
            self.start()

    def drain(self) -> None:
        """Tell the flow to end. Raises Stuck when it does not end well."""
        if (code := self.flow.stop()) not in (0, -SIGTERM):  # told before it could listen, it has nothing to drain
            raise Stuck(f"told to stop, the flow ended with exit code {code}:\n{self.log_end()}")

    def sent(self) -> dict[int, int]:
        """The next offset of each partition."""
        lags = group_lag(Connection(bootstrap=self.broker.bootstrap), _CHAOS, [self.topic])
        return {one.partition: one.high for one in lags}

    def flows_again(self, more: Callable[[], bool]) -> None:
        """Wait until something sent from now on, of every partition, is stored. Raises Stuck.

        more: whether there is still something to be sent; if not, all must be stored.
        """
        wanted, deadline_s = self.sent(), monotonic() + _PATIENCE_S
        while not self._holds(wanted if more() else {one: high - _LAST for one, high in wanted.items()}):
            self.keep_running()
            if monotonic() > deadline_s:
                raise Stuck(f"what was sent is not stored after {_PATIENCE_S:g} s:\n{self.log_end()}")
            sleep(_POLL_S)

    def _holds(self, wanted: dict[int, int]) -> bool:
        try:
            with connect(Address(port=self.clickhouse.port, database=_CHAOS)) as client, explained("progress", client):
                sql = "SELECT partition, max(offset) FROM readings GROUP BY partition"
                stored = {int(partition): int(offset) for partition, offset in client.query(sql).result_rows}
        except ClickHouseError:
            return False
        return all(stored.get(partition, -1) >= high for partition, high in wanted.items())

    def finish(self) -> None:
        """Drain the flow and let it read what is left; let another read the whole topic, undisturbed. Raises Stuck."""
        self.drain()
        _run_to_end(self.direct, "--processes", str(PROCESSES))
        create_tables(self.undisturbed)
        _run_to_end(self.undisturbed)

    def log_end(self) -> str:
        """What the flow said last."""
        return "\n".join(self.proxied.log.splitlines()[-25:])

    def close(self) -> None:
        """Leave nothing behind, whatever state it is in."""
        if self._flow is not None:
            for pid in self.workers if self._flow.returncode is None else []:
                os.kill(pid, SIGCONT)
            self._flow.stop()
        self.clickhouse_proxy.close()
        self.broker_proxy.close()
        self.clickhouse.stop()
        self.broker.kill()
        if self.disk is not None:
            self.disk.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _run_to_end(site: Site, *arguments: str) -> None:
    with site.worker("--until-end", *arguments, **SETTINGS) as worker:
        if worker.wait(20 * _PATIENCE_S) != 0:
            raise Stuck(f"{site.database} did not come to its end:\n" + "\n".join(site.log.splitlines()[-25:]))
