"""What the benchmark reads: simulated sensors, one JSON reading a message, keyed by sensor, in order of event time."""

from collections.abc import Iterator
from dataclasses import dataclass

from infra.kafka.admin import create_topic
from infra.kafka.client import Connection
from infra.kafka.producer import Producer
from infra.simulate.config import SimulationConfig
from infra.simulate.payload import Encoder
from infra.simulate.simulation import Message, Simulation

PARTITIONS = 4
INTERVAL_S = 2
"""Each sensor sends so often unless said otherwise. The slower, the more windows close per reading."""
START_MS = 1_800_000_000_000
_STEP_ROWS = 20_000


def new_topics(connection: Connection, *topics: str) -> None:
    """Create topics that keep messages of any time stamp."""
    for topic in topics:
        create_topic(connection, topic, partitions=PARTITIONS, config={"retention.ms": "-1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A stream of so many messages from so many sensors, each of which sends every interval_s."""

    messages: int
    sensors: int
    interval_s: float = INTERVAL_S

    def produce(self, connection: Connection, topics: dict[str, int]) -> None:
        """Fill new topics, each with the first so many messages of the stream."""
        new_topics(connection, *topics)
        with Producer(connection) as producer:
            done = 0
            for step in self.steps():
                for topic, wanted in topics.items():
                    producer.produce_many(topic, step[: max(0, wanted - done)])
                done += len(step)

    def steps(self) -> Iterator[list[Message]]:
        """The stream in pieces."""
        simulation = Simulation(SimulationConfig(sensors=self.sensors, rate=self.sensors / self.interval_s))
        encoders = [Encoder(series) for series in simulation.series]
        step_ms = simulation.rows_to_ms(_STEP_ROWS)
        left, start_ms = self.messages, START_MS
        while left:
            rows = simulation.columns(start_ms, start_ms + step_ms)
            columns = rows.sensor.tolist(), rows.value.tolist(), rows.time_ms.tolist()
            # Without the ground truth, which real sensors do not send.
            step = [(encoders[s].key, encoders[s].encode(v, t, b"}"), t) for s, v, t in zip(*columns, strict=True)]
            yield step[:left]
            left -= len(step[:left])
            start_ms += step_ms
