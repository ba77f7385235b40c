"""A cluster tells over HTTP how it is: health, and the metrics of all its processes; over hosts, each of its own."""

import json
import os
from dataclasses import replace
from functools import partial
from signal import SIGKILL, SIGTERM
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from flows.cluster import free_addresses
from tests.bench.recovery.page import Page, scrape
from tests.kafka import eventually
from tests.recovery.conftest import SLOW, STEP
from tests.running import MakeSite, Site, assert_same_rows, processes_of_cluster

PROCESSES = ("0", "1")


def health(address: str, what: str) -> tuple[int, dict[str, Any]]:
    """Status and body of /health/WHAT; 0 while nobody listens."""
    try:
        with urlopen(f"http://{address}/health/{what}", timeout=10) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)
    except OSError:
        return 0, {}


def is_ready(address: str) -> bool:
    return health(address, "ready") == (200, {"status": "ok", "missing": []})


def judged(page: Page, expected: dict[str, int]) -> bool:
    return all(page.total("streamgauge_readings_total", outcome=name) == count for name, count in expected.items())


def test_health_and_the_metrics_of_all_processes_are_on_one_address(make_site: MakeSite, undisturbed: Site) -> None:
    ledger = undisturbed.stored("ledger")
    expected = {"ok": 0, "duplicate": sum(row["duplicates"] for row in ledger)}
    for row in undisturbed.stored("readings"):
        expected[row["quality"]] = expected.get(row["quality"], 0) + 1
    site, (address, _) = make_site("listening"), free_addresses(2)
    with site.worker("--processes", "2", OBSERVE__LISTEN=address) as cluster:
        assert eventually(partial(is_ready, address)), site.log
        site.waits_for(len(undisturbed.stored("readings")))
        assert eventually(lambda: judged(scrape(address), expected)), (expected, scrape(address).values)
        page = scrape(address)
        for process in PROCESSES:
            assert page.total("streamgauge_readings_total", process=process) > 0
            assert page.total("streamgauge_build_info", process=process) == 1
        assert page.total("streamgauge_source_messages_total") == sum(row["messages"] for row in ledger)
        assert page.total("streamgauge_restarts_total", process="supervisor") == 0
        assert health(address, "live") == (200, {"status": "ok", "missing": []})

        os.kill(processes_of_cluster(cluster.pid)[1], SIGKILL)
        assert eventually(lambda: scrape(address).total("streamgauge_restarts_total", process="supervisor") == 1)
        assert eventually(partial(is_ready, address)), site.log
        assert health(address, "live")[0] == 200
        assert cluster.stop() == 0, site.log
    assert health(address, "live") == (0, {})


def test_a_host_waits_for_the_others_drains_with_them_and_ends_without(make_site: MakeSite, undisturbed: Site) -> None:
    site, (listen, *addresses) = make_site("hosts"), free_addresses(3)
    other = replace(site, home=site.home / "other")
    site.home.mkdir()
    cluster = [word for one in addresses for word in ("--address", one)]
    first = site.worker("--process-id", "0", *cluster, OBSERVE__LISTEN=listen, **SLOW)
    second = other.worker("--process-id", "1", *cluster, WORKER__DRAIN_TIMEOUT="1s", **SLOW)
    missing = ["process 0 has not reached Kafka, ClickHouse and the other hosts yet"]
    with first:
        site.says("runs over")
        assert health(listen, "ready") == (503, {"status": "not ok", "missing": missing})
        assert health(listen, "live")[0] == 200
        with second:
            assert eventually(partial(is_ready, listen)), site.log
            site.waits_for(STEP)
            assert second.stop() == 1
            assert "not drained within worker.drain_timeout = 1 s" in other.log
        site.says("another process of the cluster has ended, or cannot be reached any more")
        site.says("runs over", times=2)
        again = other.worker("--process-id", "1", *cluster, **SLOW)
        with again:
            other.says("; running", times=2)
            site.progresses(STEP, of=len(undisturbed.stored("readings")))
            for process in (first, again):
                os.kill(process.pid, SIGTERM)
            assert [process.wait(60) for process in (first, again)] == [0, 0], site.log + other.log
    assert "Traceback" not in site.log + other.log
    site.run_to_end()
    assert_same_rows(site, undisturbed)
