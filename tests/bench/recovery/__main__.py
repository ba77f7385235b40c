"""The parts of `make bench ARGS="--only recovery"` one by one."""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from rich.console import Console

from flows.commands.common import wide_console
from tests.bench.load import INTERVAL_S, Load
from tests.bench.recovery import kills, outage, packing, store
from tests.bench.recovery.figures import Figure, show
from tests.bench.recovery.plant import Plant, plant

_FOREVER = 1_000_000_000
_EPOCH_S = 10
"""As by default."""

Part = Callable[[Plant, int], Iterator[Figure]]
"""Given a plant and how many sensors."""


def stored(plant: Plant, sensors: int, *, epoch_s: int = _EPOCH_S, epochs: int = 6) -> Iterator[Figure]:
    """Writing and snapshots at the usual epoch."""
    load = Load(messages=_FOREVER, sensors=sensors)
    yield from store.written(load, store.watch(plant, load, epoch_s=epoch_s, epochs=epochs), epoch_s=epoch_s)


def bounded(plant: Plant, sensors: int, *, epoch_s: int = 1, epochs: int = 120) -> Iterator[Figure]:
    """The store's size over many short epochs, and their snapshots."""
    moments = store.watch(plant, Load(messages=_FOREVER, sensors=sensors), epoch_s=epoch_s, epochs=epochs)
    yield from store.bounded(moments, epoch_s=epoch_s)
    yield from store.paused(moments, epoch_s=epoch_s)


def packed(_: Plant, sensors: int) -> Iterator[Figure]:
    """Snapshots by themselves."""
    yield from packing.figures(sensors)


def killed(plant: Plant, sensors: int, *, epoch_s: int = _EPOCH_S, times: int = 5) -> Iterator[Figure]:
    """A process of a cluster killed, several times."""
    load = Load(messages=_FOREVER, sensors=sensors)
    yield from kills.figures(kills.kill_often(plant, load, epoch_s=epoch_s, kills=times))


def away(
    plant: Plant,
    sensors: int,
    *,
    fetches: outage.Fetches = "limited",
    rate: float = 20_000.0,
    epoch_s: int = _EPOCH_S,
    calm_s: float = 25.0,
    away_s: float = 60.0,
) -> Iterator[Figure]:
    """ClickHouse away for a while under a heavy load."""
    load = Load(messages=_FOREVER, sensors=sensors, interval_s=sensors / rate)
    one = outage.endure(plant, load, epoch_s=epoch_s, calm_s=calm_s, away_s=away_s, fetches=fetches)
    yield from outage.figures(one)


PARTS: dict[str, Part] = {
    "stored": stored,
    "bounded": bounded,
    "packed": packed,
    "killed": killed,
    "away": away,
    "away-embedded": partial(away, fetches="whole"),
}


def run(*, sensors: int, console: Console, parts: Mapping[str, Part] = PARTS) -> None:
    """Measure and print."""
    figures: list[Figure] = []
    for name, part in parts.items():
        console.print(f"recovery: {name}")
        with tempfile.TemporaryDirectory(prefix="streamgauge-bench-") as home, plant(Path(home)) as services:
            figures += part(services, sensors)
    console.print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, shared with broker and ClickHouse")
    show(f"Recovery, {sensors:,} sensors, the default detectors, a reading every {INTERVAL_S} s", figures, console)


def main(arguments: list[str] | None = None) -> None:
    """Missed targets are only said."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.recovery", description=__doc__)
    parser.add_argument("--sensors", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=20_000.0, help="readings a second while ClickHouse is away")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all when left out")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    known = PARTS | {
        "away": partial(away, rate=options.rate),
        "away-embedded": partial(away, fetches="whole", rate=options.rate),
    }
    chosen = {name: known[name] for name in options.parts or PARTS}
    run(sensors=options.sensors, console=wide_console(), parts=chosen)


if __name__ == "__main__":
    main()
