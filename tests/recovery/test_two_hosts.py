"""One cluster over two hosts: a cable that is pulled is waited out, a host that dies is waited for; no row changes.

TWO_HOSTS_CUT_S=30 pulls the cable for so long, with 40,000 readings.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.embedded.process import ChildProcess
from tests.flows.commands import streamgauge
from tests.recovery.namespaces import Cable, Doorway, Impossible, Namespace, two_hosts
from tests.running import Site, assert_same_rows, sites

CUT_S = float(os.environ.get("TWO_HOSTS_CUT_S", "5"))
MESSAGES, ROWS_AN_EPOCH = (40_000, "1000") if CUT_S > 10 else (9_000, "250")
PARTITIONS = 4
LONG_S = 240.0
STEP = MESSAGES // 8
ADDRESSES = ("10.0.0.1:2101", "10.0.0.2:2101")


@dataclass(frozen=True, kw_only=True)
class Host:
    """Runs process `number` of the cluster. site: how it sees the services, and where it keeps its things."""

    number: int
    namespace: Namespace
    site: Site

    def process(self) -> ChildProcess:
        """What its service manager starts, not started yet."""
        self.site.home.mkdir(exist_ok=True, parents=True)
        empty = self.site.home / "empty.toml"
        empty.touch()
        addresses = [word for one in ADDRESSES for word in ("--address", one)]
        run = ["run", "sensors", "--until-end", "--process-id", str(self.number), *addresses]
        return ChildProcess(
            f"host {self.number}",
            [*self.namespace.enter, sys.executable, "-m", "flows.cli", "--config", str(empty), *run],
            log=self.site.home / "worker.log",
            env=self.site.environment | {"STREAMGAUGE_WORKER__MAX_EPOCH_ROWS": ROWS_AN_EPOCH},
            stop_timeout_s=30,
        )


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Namespace, Namespace, Cable]]:
    with ExitStack() as stack:
        try:
            yield stack.enter_context(two_hosts(tmp_path_factory.mktemp("hosts")))
        except Impossible as error:
            pytest.skip(str(error))


def test_a_pulled_cable_and_a_host_that_dies_meanwhile_change_no_row(
    hosts: tuple[Namespace, Namespace, Cable], broker: Broker, clickhouse: EmbeddedClickHouse, tmp_path: Path
) -> None:
    make_site = sites(broker, clickhouse, tmp_path, messages=MESSAGES, partitions=PARTITIONS)
    undisturbed, site = make_site("undisturbed"), make_site("two_hosts")
    with undisturbed.worker("--until-end") as worker:
        assert worker.wait(LONG_S) == 0, undisturbed.log
    total = len(undisturbed.stored("readings"))
    *namespaces, cable = hosts
    with ExitStack() as stack:
        places = []
        for number, namespace in enumerate(namespaces):
            kafka = stack.enter_context(Doorway(namespace, int(broker.bootstrap.rpartition(":")[2]), kafka=True))
            door = stack.enter_context(Doorway(namespace, clickhouse.port))
            own = replace(
                site,
                home=site.home / f"host{number}",
                bootstrap=f"127.0.0.1:{kafka.port}",
                clickhouse_port=door.port,
            )
            places.append(Host(number=number, namespace=namespace, site=own))
        one, other = places
        first, second = (stack.enter_context(host.process()) for host in places)
        site.waits_for(STEP)

        cable.pull()
        time.sleep(CUT_S)  # it is the passing of time that is tried
        assert len(site.stored("readings")) < total, "pulled too late to show anything"
        cable.plug()
        site.progresses(STEP, of=total)
        # A busy machine may keep Kafka's answers waiting; that is another matter.
        died = [line for host in places for line in host.site.complaints if "Kafka" not in line]
        assert not died, "a cut is waited out"

        cable.pull()
        second.kill()
        second = stack.enter_context(other.process())
        cable.plug()
        one.site.says("restarting in")
        assert len(site.stored("readings")) < total, "killed too late to show anything"
        for host, process in ((one, first), (other, second)):
            assert process.wait(LONG_S) == 0, host.site.log
            assert "Traceback" not in host.site.log
    assert_same_rows(site, undisturbed)
    assert not (other.site.home / "recovery" / "layout.json").exists(), "the store is the first host's alone"
    audit = streamgauge("audit", env=site.environment)
    assert audit.returncode == 0, audit.stdout + audit.stderr
