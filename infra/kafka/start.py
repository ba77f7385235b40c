"""Where reading a partition begins when there is no recovery store to go on from."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from confluent_kafka import Consumer, TopicPartition

from infra.kafka.client import KafkaFailure


@dataclass(frozen=True, slots=True)
class Start:
    """at: the policy, or a time in epoch milliseconds: the first message with that Kafka time stamp or a later one."""

    at: Literal["earliest", "latest"] | int

    @classmethod
    def parse(cls, text: str) -> "Start":
        """ "earliest", "latest" or an RFC 3339 time with its offset. Raises KafkaFailure."""
        if text == "earliest":
            return cls("earliest")
        if text == "latest":
            return cls("latest")
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            time = None
        if time is None or time.tzinfo is None:
            raise KafkaFailure(
                f'kafka.start = "{text}": must be "earliest", "latest" or a time with its offset from UTC, '
                'such as "2026-01-31T08:00:00Z"'
            )
        return cls(round(time.timestamp() * 1000))

    def offset(self, consumer: Consumer, place: TopicPartition, *, low: int, high: int, timeout_s: float) -> int:
        """The first offset to read. Raises KafkaException."""
        if self.at == "earliest":
            return low
        if self.at == "latest":
            return high
        return first_since(consumer, place, self.at, end=high, timeout_s=timeout_s)


def first_since(consumer: Consumer, place: TopicPartition, time_ms: int, *, end: int, timeout_s: float) -> int:
    """The first offset whose message is stamped `time_ms` or later, `end` when there is none. Raises KafkaException."""
    [found] = consumer.offsets_for_times([TopicPartition(place.topic, place.partition, time_ms)], timeout=timeout_s)
    return found.offset if found.offset >= 0 else end
