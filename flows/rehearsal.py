"""A few made-up readings go through all of a flow's operators before the first real one does.

So a mistake in a detector, a model file or an aggregate is told at start, and kernels are compiled, or loaded from
numba's cache, before anything waits for them: without a cache that takes some 15 seconds, with one half a second.
"""

from collections.abc import Iterator

import msgspec
import numpy as np
from bytewax.testing import TestingSink, TestingSource

from flows.parts import Parts
from flows.ports import Ports
from flows.settings import Settings
from operators.batches import Messages
from operators.registry import Registry
from operators.state import pack, unpack

_TOPIC = "rehearsal"
_SOURCE = f"{_TOPIC}/0"
_READINGS = 3


def rehearse(settings: Settings) -> None:
    """Raises KindError for what is configured and cannot be built."""
    event_time = msgspec.structs.replace(settings.event_time, shards_per_partition=1)
    settings = msgspec.structs.replace(settings, event_time=event_time)
    parts = Parts(settings, Ports((_SOURCE,), lambda _: TestingSource([]), TestingSink([]), Registry()))
    intake, clock = parts.intake(_TOPIC, 0, None), parts.clock(_SOURCE)
    sensors, windows = parts.sensor_shard(f"{_SOURCE}/0"), parts.window_shard()
    # So far apart that each reading closes the windows of the one before.
    interval_ms = max((window.size.ms for window in settings.windows), default=1000)
    for messages in _messages(interval_ms):
        for batch in clock.on_batch(intake.feed(messages)).shards:
            windows.on_messages([message for _, message in sensors.on_batch(batch).panes])
    windows.close_all()
    parts.sensor_shard(f"{_SOURCE}/0").load(unpack(pack(sensors.snapshot())))


def _messages(interval_ms: int) -> Iterator[Messages]:
    for row in range(_READINGS):
        time_ms = row * interval_ms
        reading = {"sensor_id": "made up", "asset_id": "made up", "value": float(row), "timestamp": time_ms}
        yield Messages([msgspec.json.encode(reading)], np.array([row], np.int64), np.array([time_ms], np.int64))
