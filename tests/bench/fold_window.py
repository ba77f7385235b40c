"""The same windows with Bytewax's own means: its Kafka source, an object a message, a fold per key and window."""

import math
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import msgspec
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow, Stream
from bytewax.operators import KeyedStream
from bytewax.operators.windowing import EventClock, SlidingWindower, TumblingWindower, Windower, fold_window
from confluent_kafka import OFFSET_BEGINNING

from flows.settings import Window
from flows.worker import work
from operators.records import Reading
from tests.bench.engine import SETTINGS, shares
from tests.bench.measure import Input, Outcome
from tests.bench.sink import CallingSink, new_store

_ALIGN = datetime(1970, 1, 1, tzinfo=UTC)
_BATCH = 1_000

Closed = tuple[str, str, int, "Stats"]
"""Window, group, number of the window since 1970 in hops, result."""


class Stats(msgspec.Struct, gc=False):
    """The running aggregate of a window."""

    count: int = 0
    mean: float = 0.0
    m2: float = 0.0
    min: float = math.inf
    max: float = -math.inf

    @property
    def stddev(self) -> float:
        """Of the population."""
        return math.sqrt(self.m2 / self.count)


def fold(stats: Stats, reading: Reading) -> Stats:
    """Add one reading (Welford, 1962)."""
    value = reading.value
    stats.count += 1
    delta = value - stats.mean
    stats.mean += delta / stats.count
    stats.m2 += delta * (value - stats.mean)
    stats.min = min(stats.min, value)
    stats.max = max(stats.max, value)
    return stats


def merge(one: Stats, other: Stats) -> Stats:
    """Asked for by the operator; only session windows ever merge."""
    raise NotImplementedError


def run(given: Input) -> Outcome:
    """Read the topic to its end, all windows closed; results are counted and dropped."""
    counted: Counter[str] = Counter()

    def take(closed: Closed) -> None:
        counted[closed[0]] += closed[3].count

    run_with(given, take)
    return Outcome(given.messages, shares(counted))


def run_with(given: Input, take: Callable[[Closed], None], *, wait_ms: int = SETTINGS.event_time.lateness.ms) -> None:
    """The same with a sink of one's own. wait_ms: the clock's wait_for_system_duration."""
    flow = Dataflow("fold_window")
    source = KafkaSource(
        [given.bootstrap], [given.topic], tail=False, starting_offset=OFFSET_BEGINNING, batch_size=_BATCH
    )
    messages: Stream[Any] = op.input("kafka", flow, source)
    decode = msgspec.json.Decoder(Reading).decode
    readings = op.map("decode", messages, lambda message: decode(message.value))
    clock = EventClock(_time, timedelta(milliseconds=wait_ms))
    keyed: dict[tuple[str, ...], KeyedStream[Reading]] = {}
    closed = []
    for window in SETTINGS.windows:
        if window.by not in keyed:
            keyed[window.by] = op.key_on(f"by_{'_'.join(window.by)}", readings, _key(window.by))
        closed.append(_windows(window, keyed[window.by], clock))
    op.output("sink", op.merge("closed", *closed), CallingSink(take))
    work(flow, epoch=SETTINGS.worker.epoch, recovery=new_store(Path(given.store)))


def _windows(window: Window, keyed: KeyedStream[Reading], clock: EventClock[Reading]) -> KeyedStream[Closed]:
    # Not ordered: these aggregates do not need it, and it is the faster choice.
    out = fold_window(window.name.replace("/", " "), keyed, clock, _windower(window), Stats, fold, merge, ordered=False)
    name = window.name

    def told(item: tuple[str, tuple[int, Stats]]) -> tuple[str, Closed]:
        group, (number, stats) = item
        return group, (name, group, number, stats)

    return op.map(f"closed {name}".replace("/", " "), out.down, told)


def _windower(window: Window) -> Windower[Any]:
    size, hop = timedelta(milliseconds=window.size.ms), timedelta(milliseconds=window.hop_ms)
    return TumblingWindower(length=size, align_to=_ALIGN) if size == hop else SlidingWindower(size, hop, _ALIGN)


def _key(by: tuple[str, ...]) -> Callable[[Reading], str]:
    if by == ("sensor_id",):
        return lambda reading: reading.sensor_id
    if by == ("location", "sensor_type"):
        return lambda reading: f"{reading.location}/{reading.sensor_type}"
    raise NotImplementedError(by)


def _time(reading: Reading) -> datetime:
    assert isinstance(reading.timestamp, int)
    return datetime.fromtimestamp(reading.timestamp / 1000, UTC)
