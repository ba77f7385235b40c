"""What the StatefulSet runs, on two hosts: a rescale changes no row. `make cluster` also loses a host of theirs."""

from pathlib import Path

import pytest

from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from tests.deploy.cluster import workers_on_two_hosts
from tests.recovery.namespaces import Impossible
from tests.running import assert_same_rows, sites

MESSAGES = 2_000
SLOWLY = "150"
"""So many readings an epoch, of a second, from each of four partitions."""


def test_a_rescale_changes_no_row(
    broker: Broker, clickhouse: EmbeddedClickHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_site = sites(broker, clickhouse, tmp_path, messages=MESSAGES, partitions=4)
    undisturbed, site = make_site("undisturbed"), make_site("stateful_set")
    undisturbed.run_to_end()
    total = len(undisturbed.stored("readings"))
    monkeypatch.setenv("STREAMGAUGE_WORKER__MAX_EPOCH_ROWS", SLOWLY)
    try:
        with workers_on_two_hosts(site, broker, clickhouse) as workers:
            workers.rescale(2)
            site.waits_for(MESSAGES // 5)
            assert len(site.stored("readings")) < total, "too late to show anything"
            workers.rescale(1)
            site.waits_for(total)
            workers.stop()
            assert workers.store(0).joinpath("layout.json").exists()
            assert not workers.store(1).joinpath("layout.json").exists(), "the store is worker 0's alone"
    except Impossible as error:
        pytest.skip(str(error))
    assert "Traceback" not in site.log
    assert_same_rows(site, undisturbed)
