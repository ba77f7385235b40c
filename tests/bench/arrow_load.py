"""The same simulated sensors as Arrow IPC messages: many readings each, all of sensors of one partition."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from infra.simulate.config import SimulationConfig
from infra.simulate.simulation import Columns, Simulation
from tests.bench.load import PARTITIONS, START_MS, Load

STEP_ROWS = 8_000
_LABELS = ("sensor_id", "sensor_type", "location", "asset_id", "unit")


class ArrowMessage(NamedTuple):
    """A payload for a partition. readings: in it; time_ms: of its last one."""

    partition: int
    payload: bytes
    readings: int
    time_ms: int


def arrow_steps(load: Load) -> Iterator[list[ArrowMessage]]:
    """The stream in pieces of one message a partition."""
    simulation = Simulation(SimulationConfig(sensors=load.sensors, rate=load.sensors / load.interval_s))
    labels = [pa.array([getattr(one, name) for one in simulation.series]) for name in _LABELS]
    step_ms = simulation.rows_to_ms(STEP_ROWS)
    left, start_ms = load.messages, START_MS
    while left:
        rows = simulation.columns(start_ms, start_ms + step_ms)
        rows = rows.take(np.arange(min(left, len(rows))))
        yield [_message(rows.take(rows.sensor % PARTITIONS == number), labels, number) for number in range(PARTITIONS)]
        left -= len(rows)
        start_ms += step_ms


def _message(rows: Columns, labels: list[pa.Array], partition: int) -> ArrowMessage:
    columns = {name: column.take(pa.array(rows.sensor)) for name, column in zip(_LABELS, labels, strict=True)}
    batch = pa.record_batch(columns | {"value": pa.array(rows.value), "timestamp": pa.array(rows.time_ms)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    time_ms = int(rows.time_ms[-1]) if len(rows) else START_MS
    return ArrowMessage(partition, sink.getvalue().to_pybytes(), len(rows), time_ms)
