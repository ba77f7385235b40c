"""ClickHouse away for a while under load: the memory of a worker, how soon it has caught up, whether all is there."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from tests.bench.load import PARTITIONS, Load
from tests.bench.recovery.feed import Feed
from tests.bench.recovery.fetch_limits import FetchLimits
from tests.bench.recovery.figures import Figure
from tests.bench.recovery.plant import Plant, running
from tests.bench.recovery.process import peak_bytes, resident_bytes
from tests.kafka import eventually
from tests.running import Site

Fetches = Literal["limited", "whole"]
_BROKERS: dict[Fetches, str] = {"limited": "fetches limited as by Kafka", "whole": "the embedded broker"}

_PEAK_MB = 500
_CAUGHT_UP_MS = 2_000
"""So far behind the newest reading sent a flow is when nothing holds it up."""
_LOOK_S = 0.5
_LIVE_S = 60.0
"""A machine that has not caught up after so long is too slow for the load; it is given a rest then."""
_WITHIN_S = 600.0


@dataclass(frozen=True, slots=True)
class Outage:
    """What was seen. *_mb: of the worker's process; before: at the end of the calm, away: at most while it lasted,
    peak: at most of all. live: whether it caught up while readings went on; else they were stopped, see _LIVE_S.
    sent, stored: readings. rate: readings a second that were really sent.
    """

    fetches: Fetches
    away_s: float
    caught_up_s: float
    before_mb: float
    away_mb: float
    peak_mb: float
    live: bool
    rate: float
    sent: int
    stored: int
    audit: int


def endure(plant: Plant, load: Load, *, epoch_s: int, calm_s: float, away_s: float, fetches: Fetches) -> Outage:
    """A calm, then ClickHouse killed with kill -9 and started again so much later, readings coming all the time.

    fetches: answered with all there is, or as Kafka does.
    """
    site = plant.site("outage")
    with (
        FetchLimits(int(plant.broker.bootstrap.rpartition(":")[2])) as limits,
        Feed(plant.connection, site.topic, load, rate=load.sensors / load.interval_s) as feed,
        running(
            site if fetches == "whole" else replace(site, bootstrap=f"127.0.0.1:{limits.port}"), epoch_s=epoch_s
        ) as (worker, _),
    ):
        began_s = time.monotonic()
        _until(lambda: _caught_up(site, feed), "flowing")
        time.sleep(calm_s)
        before = resident_bytes(worker.pid)
        plant.clickhouse.kill()
        away = _most(lambda: resident_bytes(worker.pid), for_s=away_s)
        plant.clickhouse.start()
        back_s = time.monotonic()
        live = eventually(lambda: _caught_up(site, feed), within_s=_LIVE_S, every_s=_LOOK_S)
        caught_up_s = time.monotonic() - back_s
        rate = feed.sent / (time.monotonic() - began_s)
        sent = feed.stop()
        _until(lambda: _stored(site, "readings") >= sent, "stored")
        if not live:
            caught_up_s = time.monotonic() - back_s
        peak = peak_bytes(worker.pid)
    return Outage(
        *(fetches, away_s, caught_up_s, before / 1e6, away / 1e6, peak / 1e6, live, rate, sent),
        stored=_stored(site, "readings_final"),
        audit=_audit(site),
    )


def _caught_up(site: Site, feed: Feed) -> bool:
    since_ms = feed.newest_ms - _CAUGHT_UP_MS
    with site.asking() as ask:
        later = f"SELECT uniqExact(partition) FROM readings WHERE time > fromUnixTimestamp64Milli({since_ms})"
        return int(ask(later)) == PARTITIONS


def _stored(site: Site, table: str) -> int:
    with site.asking() as ask:
        return int(ask(f"SELECT count() FROM {table}"))


def _audit(site: Site) -> int:
    """Exit code of `streamgauge audit`."""
    command = [sys.executable, "-m", "flows.cli", "--config", str(site.home / "empty.toml"), "audit"]
    return subprocess.run(command, env=site.whole_environment, capture_output=True, check=False).returncode


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + _WITHIN_S
    while not condition():
        assert time.monotonic() < deadline_s, f"not {what} within {_WITHIN_S:g} s"
        time.sleep(_LOOK_S)


def _most(value: Callable[[], int], *, for_s: float) -> int:
    until_s, most = time.monotonic() + for_s, 0
    while (left_s := until_s - time.monotonic()) > 0:
        most = max(most, value())
        time.sleep(min(_LOOK_S, left_s))
    return most


def figures(one: Outage) -> list[Figure]:
    """What an operator wants to know."""
    broker = _BROKERS[one.fetches]
    return [
        Figure(
            f"ClickHouse away for {one.away_s:g} s at {one.rate:,.0f} readings/s, {broker}: peak memory of the worker",
            f"{one.peak_mb:,.0f} MB",
            f"below {_PEAK_MB} MB",
            one.peak_mb < _PEAK_MB,
        ),
        Figure("  before, at most while it was away", f"{one.before_mb:,.0f} MB, {one.away_mb:,.0f} MB"),
        Figure(
            "  caught up after it was back",
            f"{one.caught_up_s:.0f} s" + ("" if one.live else f", readings were stopped after {_LIVE_S:g} s"),
        ),
        Figure(
            "  readings stored of those sent, exit code of the audit",
            f"{one.stored:,} of {one.sent:,}, {one.audit}",
            "all, 0",
            one.stored == one.sent and not one.audit,
        ),
    ]
