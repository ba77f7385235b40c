"""A Kafka message between two good ones: read or refused, each of its elements; what is read can be stored."""

from collections import Counter

import msgspec
import numpy as np

from flows.parts import Parts
from flows.settings import EventTime, Settings
from infra.clickhouse.encode import to_arrow
from operators.batches import Messages, Rows
from operators.decode_arrow import is_arrow, read_table
from operators.framed import Schemas
from operators.intake import IntakeBatch, PartitionIntake
from operators.registry import Registry
from operators.rejects import REASONS
from tests.fuzz import mutate
from tests.fuzz.intake import CONFIG
from tests.operators.payloads import NOW_MS, SPOILT, reading
from tests.ports import MemoryTables, list_ports

SEEDS = [payload for payload in mutate.seeds() if not is_arrow(payload)] + [
    payload for _, payload in SPOILT if len(payload) < 1_000
]
TOKENS = mutate.TOKENS

_GOOD = reading(sensor_id="neighbour")
_PARTS = Parts(
    Settings(detectors=(), event_time=EventTime(shards_per_partition=1)), list_ports({"fuzz/0": []}, MemoryTables())
)


def check(data: bytes, schemas: Schemas | None = None) -> str:
    """AssertionError when the message, an element of it, or a neighbour is lost."""
    batch = _intake(data, schemas)
    readings = batch.readings
    assert readings is not None
    rejects = [] if batch.rejects is None else batch.rejects.to_dicts()
    ends = Counter(readings.offset.tolist()) + Counter(row["offset"] for row in rejects)
    assert ends.pop(0) == ends.pop(2) == 1, "a neighbour is lost, or there twice"
    assert not ends.keys() - {1}
    for row in rejects:
        assert row["reason"] in REASONS
        assert row["detail"]
        assert "\n" not in row["detail"], row["detail"]
    assert sum(one.messages for one in batch.tallies) == 3
    assert sum(one.readings for one in batch.tallies) == ends[1] + 2
    places = [*readings.idx[readings.offset == 1].tolist(), *(row["idx"] for row in rejects)]
    if not ends[1]:
        assert _holds_nothing(data), "lost"
    elif len(rejects) != 1 or rejects[0]["idx"]:
        assert sorted(places) == list(range(len(places))), "elements are lost, or there twice"
    assert np.isfinite(readings.value).all()
    if batch.rejects is not None:
        to_arrow(batch.rejects)
    if len(readings) > 2:
        _store(batch)
    return rejects[0]["reason"] if rejects else "read"


def _intake(data: bytes, schemas: Schemas | None) -> IntakeBatch:
    messages = Messages([_GOOD, data, _GOOD], np.arange(3), np.full(3, NOW_MS))
    return PartitionIntake("fuzz", 0, config=CONFIG, registry=Registry(), state=None, schemas=schemas).feed(messages)


def _holds_nothing(data: bytes) -> bool:
    """Whether it is a list or a table of no readings, which is no mistake."""
    if is_arrow(data):
        return bool(read_table(data, max_rows=1).num_rows == 0)
    return bool(msgspec.json.decode(data) == [])


def _store(batch: IntakeBatch) -> None:
    """Through the steps of a flow, to tables that ClickHouse takes."""
    clocked = _PARTS.clock("fuzz/0").on_batch(batch)
    rows: list[Rows] = [*clocked.rows]
    for part in clocked.shards:
        shard = _PARTS.sensor_shard(part.shard)
        for output in (shard.on_batch(part), shard.end(close_panes=True)):
            rows += output.rows
            for _, message in output.panes:
                rows += _PARTS.window_shard().on_messages([message])
    for one in rows:
        to_arrow(one)
