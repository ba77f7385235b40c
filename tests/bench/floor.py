"""The floor: one consumer, each message decoded into a Reading, nothing else."""

from collections.abc import Callable
from typing import Any

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from flows.worker import collect_seldom
from operators.records import Reading
from tests.bench.load import PARTITIONS
from tests.bench.measure import Input, Outcome

_BATCH = 10_000


def run(given: Input) -> Outcome:
    """Read and decode the topic."""
    collect_seldom()  # as the worker does
    decode: Callable[[Any], Reading] = msgspec.json.Decoder(Reading).decode
    consumer = Consumer(
        {
            "bootstrap.servers": given.bootstrap,
            "group.id": "bench-floor",
            "enable.auto.commit": False,
            # As much ahead as it likes: the floor is the fastest consumer there is.
            "queued.min.messages": 1_000_000,
            "queued.max.messages.kbytes": 262_144,
            "fetch.queue.backoff.ms": 20,
        }
    )
    consumer.assign([TopicPartition(given.topic, partition, OFFSET_BEGINNING) for partition in range(PARTITIONS)])
    done = 0
    while done < given.messages:
        batch = consumer.consume(min(_BATCH, given.messages - done), 1.0)
        readings = [decode(message.value()) for message in batch]
        done += len(readings)
    consumer.close()
    return Outcome(done, {})
