"""A connection to ClickHouse that is refused, silent, slow, answered with errors or not at all changes no row."""

from dataclasses import replace
from functools import partial

from infra.embedded.clickhouse import EmbeddedClickHouse
from tests.kafka import eventually
from tests.recovery.conftest import SLOW
from tests.recovery.proxy import Proxy, Weather
from tests.running import MakeSite, Site, assert_same_rows

FEW = 150
"""So many more readings are stored between two faults."""

FAULTS = (
    Weather(refuses=True),
    Weather(silent=True),
    Weather(fails=True),
    Weather(unanswered=True),
    Weather(delay_s=0.05, bytes_per_s=500_000),
)


def _felt_since(proxy: Proxy, felt: int) -> bool:
    return proxy.felt > felt


def test_a_bad_connection_to_clickhouse_changes_no_row(
    make_site: MakeSite, undisturbed: Site, clickhouse: EmbeddedClickHouse
) -> None:
    site, total, outages = make_site("bad_connection"), len(undisturbed.stored("readings")), 0
    with (
        Proxy(clickhouse.port) as proxy,
        replace(site, clickhouse_port=proxy.port).worker("--until-end", **SLOW) as worker,
    ):
        for weather in FAULTS:
            site.progresses(FEW, of=total)
            assert len(site.stored("readings")) < total, "disturbed too late to show anything"
            felt = proxy.felt
            proxy.set(weather)
            if weather.refuses or weather.fails:
                outages += 1
                site.says("rows are held back meanwhile", times=outages)
            else:
                assert eventually(partial(_felt_since, proxy, felt)), weather
            proxy.cut()
            proxy.set(Weather())
        assert worker.wait(90) == 0, site.log
    assert_same_rows(site, undisturbed)
