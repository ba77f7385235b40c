"""The recovery store under a steady load: what is written to it, how large it gets, how long its snapshots take."""

import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from tests.bench.load import PARTITIONS, Load
from tests.bench.recovery.feed import Feed
from tests.bench.recovery.figures import Figure
from tests.bench.recovery.page import Page, scrape
from tests.bench.recovery.plant import Plant, running
from tests.bench.recovery.process import size_of, written_bytes

HISTORY = 300
"""Readings each sensor has sent before: what detectors keep of it has filled up, and compresses less."""

WARM_EPOCHS = 3
"""Left out: what was sent before is worked off, kernels are loaded."""

_WRITTEN_MB_S, _PAUSE_S, _GROWTH = 5.0, 0.1, 1.05
_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Moment:
    """Seen just after an epoch was completed."""

    at_s: float
    written_bytes: int
    stored_bytes: int
    page: Page

    @property
    def paused_s(self) -> float:
        """All steps have spent so long on snapshots so far."""
        return self.page.total("streamgauge_snapshot_seconds_sum")


def watch(plant: Plant, load: Load, *, epoch_s: int, epochs: int) -> list[Moment]:
    """One worker process fed in real time; a moment for every epoch after the first few."""
    site = plant.site("store")
    rate = load.sensors / load.interval_s
    history = HISTORY * load.sensors
    with Feed(plant.connection, site.topic, load, rate=rate, history=history) as feed:
        with running(site, epoch_s=epoch_s) as (worker, address):
            moments: list[Moment] = []
            seen = 0
            while len(moments) <= WARM_EPOCHS + epochs:
                time.sleep(_LOOK_S)
                page = scrape(address)
                completed = int(page.total("streamgauge_epoch_close_seconds_count")) // PARTITIONS
                if completed > seen:
                    seen = completed
                    if page.total("streamgauge_source_messages_total") < history:
                        continue
                    moments.append(_moment(worker.pid, site.home / "recovery", page))
        feed.stop()
    return moments[WARM_EPOCHS:]


def _moment(pid: int, directory: Path, page: Page) -> Moment:
    return Moment(time.monotonic(), written_bytes(pid), size_of(directory), page)


def written(load: Load, moments: list[Moment], *, epoch_s: int) -> list[Figure]:
    """What goes to the disk at the usual distance of snapshots."""
    first, last = moments[0], moments[-1]
    mb_s = (last.written_bytes - first.written_bytes) / (last.at_s - first.at_s) / 1e6
    sensors = last.page.total("streamgauge_sensors")
    packed = last.page.total("streamgauge_state_bytes", step="sensors")
    everything = last.page.total("streamgauge_state_bytes")
    rate = load.sensors / load.interval_s
    return [
        Figure(
            f"recovery store, written at {rate:,.0f} readings/s, epoch {epoch_s} s",
            f"{mb_s:.2f} MB/s" if mb_s else "not known: the files are in memory",
            f"below {_WRITTEN_MB_S:g} MB/s",
            0 < mb_s < _WRITTEN_MB_S,
        ),
        Figure("  written for a byte of state", f"{mb_s * 1e6 * epoch_s / everything:.1f} bytes"),
        Figure("  state of a sensor, packed", f"{packed / sensors:,.0f} bytes"),
        Figure("  state of all steps, packed", f"{everything / 1e6:.1f} MB of {sensors:,.0f} sensors"),
        *paused(moments, epoch_s=epoch_s),
    ]


def paused(moments: list[Moment], *, epoch_s: int) -> list[Figure]:
    """How long steps stand still for snapshots: one shard, and all of a worker one after the other."""
    page = moments[-1].page
    name = "streamgauge_snapshot_seconds"
    shard_s = page.within_s(name, 0.99, step="sensors")
    mean_s = page.total(f"{name}_sum", step="sensors") / max(1.0, page.total(f"{name}_count", step="sensors"))
    epochs_s = np.array([after.paused_s - before.paused_s for before, after in pairwise(moments)])
    all_s = float(np.quantile(epochs_s, 0.99))
    return [
        Figure(
            f"pause of a sensor shard for its snapshot, p99, epoch {epoch_s} s",
            f"within {shard_s * 1e3:g} ms, mean {mean_s * 1e3:.1f} ms",
            f"below {_PAUSE_S * 1e3:g} ms",
            shard_s <= _PAUSE_S,
        ),
        Figure(
            f"  all keys of a worker one after the other, p99 of {len(epochs_s)} epochs",
            f"{all_s * 1e3:.0f} ms, median {np.median(epochs_s) * 1e3:.0f} ms",
            f"below {_PAUSE_S * 1e3:g} ms",
            all_s < _PAUSE_S,
        ),
        Figure(
            "  from the snapshot until all is stored and reading goes on, p99",
            f"within {page.within_s('streamgauge_epoch_close_seconds', 0.99):g} s",
        ),
    ]


def bounded(moments: list[Moment], *, epoch_s: int) -> list[Figure]:
    """The size of the store over many epochs: it must not grow faster than the state, which fills up for a while."""
    quarters = [moments[round(share * (len(moments) - 1))] for share in (0.25, 0.5, 0.75, 1.0)]
    sizes = [one.stored_bytes / 1e6 for one in quarters]
    states = [one.page.total("streamgauge_state_bytes") / 1e6 for one in quarters]
    shares = [size / state for size, state in zip(sizes, states, strict=True)]
    return [
        Figure(
            f"recovery store, file bytes per byte of state, by quarters of {len(moments) - 1} epochs of {epoch_s} s",
            ", ".join(f"{share:.1f}" for share in shares),
            "at most 5 % more in the last half",
            shares[3] <= shares[1] * _GROWTH,
        ),
        Figure("  files", ", ".join(f"{size:.0f}" for size in sizes) + " MB"),
        Figure("  state, packed", ", ".join(f"{state:.1f}" for state in states) + " MB"),
    ]
