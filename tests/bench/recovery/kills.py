"""How long a cluster stands still when one of its processes is killed."""

import os
import statistics
import time
from random import Random
from signal import SIGKILL

from tests.bench.load import PARTITIONS, Load
from tests.bench.recovery.feed import Feed
from tests.bench.recovery.figures import Figure
from tests.bench.recovery.plant import Plant, running
from tests.kafka import eventually
from tests.running import Site, processes_of_cluster

PROCESSES = 2

_WANTED_S = 5.0
_LOOK_S = 0.05
_WITHIN_S = 120.0


def kill_often(plant: Plant, load: Load, *, epoch_s: int, kills: int, seed: int = 1) -> list[float]:
    """Seconds from each kill -9 until a reading sent after it is stored, of every partition.

    Kills fall anywhere within an epoch, and after two of them, when the supervisor's first pause holds again.
    """
    site, random = plant.site("kills"), Random(seed)
    arguments = ("--processes", str(PROCESSES))
    taken: list[float] = []
    with Feed(plant.connection, site.topic, load, rate=load.sensors / load.interval_s) as feed:
        with running(site, *arguments, epoch_s=epoch_s) as (supervisor, _):
            _flows(site, since_ms=0)
            for number in range(kills):
                time.sleep((2.1 + random.random()) * epoch_s)
                victim = processes_of_cluster(supervisor.pid)[number % PROCESSES]
                os.kill(victim, SIGKILL)
                killed_s, since_ms = time.monotonic(), feed.newest_ms
                _flows(site, since_ms=since_ms)
                taken.append(time.monotonic() - killed_s)
        feed.stop()
    return taken


def _flows(site: Site, *, since_ms: int) -> None:
    """Until every partition has stored a reading of a later event time."""
    later = f"SELECT uniqExact(partition) FROM readings WHERE time > fromUnixTimestamp64Milli({since_ms})"
    with site.asking() as ask:
        flows = eventually(lambda: int(ask(later)) == PARTITIONS, within_s=_WITHIN_S, every_s=_LOOK_S)
    assert flows, f"nothing was stored any more:\n{site.log}"


def figures(taken: list[float]) -> list[Figure]:
    """The usual and the worst."""
    median_s = statistics.median(taken)
    return [
        Figure(
            f"kill -9 of one of {PROCESSES} processes to flowing again, median of {len(taken)}",
            f"{median_s:.1f} s",
            f"below {_WANTED_S:g} s",
            median_s < _WANTED_S,
        ),
        Figure("  best, worst", f"{min(taken):.1f} s, {max(taken):.1f} s"),
    ]
