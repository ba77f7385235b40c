"""`make cluster`: a million readings through the StatefulSet's workers; a host is lost, then there are more workers.

2 workers, then the host of worker 1 is lost without a word: worker 1 is started on the other host, at another address,
and worker 0 is deleted, as docs/deploy.md says. Then 3 workers. In the end the tables are compared, row by row, with
those of one worker that nobody disturbed.
"""

import argparse
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from infra.clickhouse.client import Address, connect
from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.kafka.client import Connection
from infra.kafka.producer import Producer
from infra.simulate.config import SimulationConfig
from infra.simulate.runner import history
from infra.simulate.simulation import Simulation
from tests.chaos.compare import differences
from tests.deploy.cluster import Workers, workers_on_two_hosts
from tests.kafka import new_topic
from tests.recovery.namespaces import Impossible
from tests.running import BEGIN_MS, Site, create_tables

PARTITIONS, SENSORS, RATE = 4, 1_000, 1_000.0
WAIT_S = 1_800.0
BY_THE_CLOCK = {"EVENT_TIME__IDLE_AFTER": "0s", "OBSERVE__MAX_CPU": "1", "OBSERVE__MIN_MEMORY": "1e-9"}
"""So that nothing in the tables is: a partition that rests, alerts about this machine."""


def main() -> int:
    """The exit code: 0 when the tables are the same."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--readings", type=int, default=1_000_000)
    readings = asked.parse_args().readings
    os.environ |= {f"STREAMGAUGE_{name}": text for name, text in BY_THE_CLOCK.items()}
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streamgauge-cluster-")))
        broker = stack.enter_context(Broker(home / "broker"))
        clickhouse = stack.enter_context(EmbeddedClickHouse(home / "clickhouse", log=home / "clickhouse.log"))
        topic = new_topic(broker, partitions=PARTITIONS)
        messages = _send(broker, topic, readings)
        print(f"{messages:,} messages of {SENSORS:,} sensors in {PARTITIONS} partitions", flush=True)
        sites = [
            Site(
                home=home / name,
                bootstrap=broker.bootstrap,
                topic=topic,
                clickhouse_port=clickhouse.port,
                database=f"cluster_{name}",
            )
            for name in ("undisturbed", "stateful_set")
        ]
        for site in sites:
            create_tables(site)
        undisturbed, disturbed = sites
        began_s = time.monotonic()
        with undisturbed.worker("--until-end") as worker:
            assert worker.wait(WAIT_S) == 0, undisturbed.log
        total = _count(undisturbed)
        print(f"one worker, undisturbed: {total:,} readings stored in {time.monotonic() - began_s:.0f} s", flush=True)
        began_s = time.monotonic()
        try:
            workers = stack.enter_context(workers_on_two_hosts(disturbed, broker, clickhouse))
            _disturb(workers, disturbed, total)
        except Impossible as error:
            print(error)
            return 1
        print(f"the StatefulSet's workers: {_count(disturbed):,} in {time.monotonic() - began_s:.0f} s", flush=True)
        with connect(Address(port=clickhouse.port, database=disturbed.database)) as client:
            found = list(differences(client, disturbed.database, undisturbed.database))
    print("\n".join(found) or "all tables are the same, row by row")
    return 1 if found else 0


def _disturb(workers: Workers, site: Site, total: int) -> None:
    workers.rescale(2)
    _wait_for(site, total // 4)
    print(f"2 workers; at {_count(site):,} readings the host of worker 1 is lost", flush=True)
    workers.lose_host(1)
    workers.start(1, on=0)
    workers.kill(0)
    workers.start(0, on=0)
    _wait_for(site, max(total // 2, min(total, _count(site) + total // 10)))
    workers.find_host(1)
    print(f"both workers on one host; at {_count(site):,} readings rescaled to 3 on two", flush=True)
    workers.rescale(3)
    _wait_for(site, total)
    workers.stop()


def _send(broker: Broker, topic: str, readings: int) -> int:
    config = SimulationConfig(sensors=SENSORS, rate=RATE, bad_share=0.001, disorder=0.02, seed=7)
    with Producer(Connection(bootstrap=broker.bootstrap)) as producer:
        to_ms = BEGIN_MS + round(readings / RATE * 1000)
        return history(Simulation(config), producer, topic=topic, from_ms=BEGIN_MS, to_ms=to_ms)


def _count(site: Site) -> int:
    with site.asking() as ask:
        return int(ask("SELECT count() FROM readings_final"))


def _wait_for(site: Site, rows: int) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while _count(site) < rows:
        assert "Traceback" not in site.log, site.log[-5_000:]
        assert time.monotonic() < deadline_s, f"{rows:,} readings did not come:\n{site.log[-5_000:]}"
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
