"""What a snapshot of a sensor shard costs in CPU time, which a busy machine changes little."""

import time
from collections.abc import Iterator

import numpy as np
from bytewax.testing import TestingSink, TestingSource

from flows.parts import Parts
from flows.ports import Ports
from flows.production import registry
from flows.settings import Settings
from operators.batches import Messages
from operators.sensors import SensorShard
from operators.state import pack
from tests.bench.load import PARTITIONS, Load
from tests.bench.recovery.figures import Figure

_SOURCE = "packing/0"
_READINGS_EACH = 60
_REPEAT = 10
_WANTED_S = 0.1


def shards(sensors: int) -> list[SensorShard]:
    """The shards of one partition, which has its part of so many sensors; each has sent for a while."""
    settings = Settings()
    ports = Ports((_SOURCE,), lambda _: TestingSource([]), TestingSink([]), registry(settings, {}))
    parts = Parts(settings, ports)
    intake, clock = parts.intake("packing", 0, None), parts.clock(_SOURCE)
    made: dict[str, SensorShard] = {}
    for messages in _messages(sensors // PARTITIONS):
        for batch in clock.on_batch(intake.feed(messages)).shards:
            if batch.shard not in made:
                made[batch.shard] = parts.sensor_shard(batch.shard)
            made[batch.shard].on_batch(batch)
    return list(made.values())


def _messages(sensors: int) -> Iterator[Messages]:
    first = 0
    for step in Load(messages=sensors * _READINGS_EACH, sensors=sensors).steps():
        offsets = np.arange(first, first + len(step), dtype=np.int64)
        yield Messages([payload for _, payload, _ in step], offsets, np.array([at for *_, at in step], np.int64))
        first += len(step)


def figures(sensors: int) -> list[Figure]:
    """Of one shard, and of all shards of a worker that is alone."""
    one_s, sizes = [], []
    for shard in shards(sensors):
        for _ in range(_REPEAT):
            start_s = time.thread_time()
            _, packed = pack(shard.snapshot())
            one_s.append(time.thread_time() - start_s)
            sizes.append(len(packed))
    p99_s, mean_s = float(np.quantile(one_s, 0.99)), float(np.mean(one_s))
    count = PARTITIONS * Settings().event_time.shards_per_partition
    return [
        Figure(
            f"snapshot of one of {count} sensor shards, CPU time, p99",
            f"{p99_s * 1e3:.0f} ms, mean {mean_s * 1e3:.1f} ms, {np.mean(sizes) / 1e6:.2f} MB",
            f"below {_WANTED_S * 1e3:g} ms",
            p99_s < _WANTED_S,
        ),
        Figure(
            f"  all {count} one after the other: one process, two",
            f"{count * mean_s * 1e3:.0f} ms, {count * mean_s * 500:.0f} ms",
        ),
    ]
