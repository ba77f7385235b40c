"""Following topics of a broker nearby, in order and from a place of one's own.

Unlike a consumer left to itself it asks the broker only for where topics end, fifty times a second, and fetches when
there is something new: the embedded broker answers every fetch at once, and would be asked without end.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from infra.kafka.admin import partitions
from infra.kafka.client import Connection, is_refusal
from infra.kafka.outage import Outage

_ASK_EVERY_S = 0.02
_TIMEOUT_S = 2.0
_PAUSE_S = 0.5

logger = logging.getLogger(__name__)

Places = dict[tuple[str, int], int]
"""Of each topic and partition, the offset that is read next."""


class Told(NamedTuple):
    """A message. time_ms: its time stamp."""

    topic: str
    key: bytes
    value: bytes
    time_ms: int


class Tail:
    """For one thread.

    group: under it the places are kept at the broker, when `commit` is called.
    places: where to begin, in place of the group's; what they do not name begins with all there is.
    stopped: ends waiting for a broker that is away.

    Where the log ends before a place, it lost its newest messages: reading goes on at its end, so open it before they
    come again. Raises KafkaFailure when waiting is of no use.
    """

    def __init__(
        self,
        connection: Connection,
        topics: Sequence[str],
        *,
        group: str,
        places: Mapping[tuple[str, int], int] | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._connection, self._stopped = connection, stopped
        self._outage = Outage()
        named = partitions(connection, topics, wait_s=30.0, cancelled=stopped)
        own = [TopicPartition(name.rpartition("/")[0], int(name.rpartition("/")[2])) for name in named]
        with connection.explained():
            self._consumer = Consumer(
                connection.config(
                    {
                        "group.id": group,
                        "enable.auto.commit": False,
                        "auto.offset.reset": "earliest",
                        "queued.max.messages.kbytes": 4_096,
                        "receive.message.max.bytes": 1_000_000_000,  # it answers with all it has
                    }
                )
            )
            if places is None:
                kept = self._consumer.committed(own, timeout=_TIMEOUT_S)
                places = {(one.topic, one.partition): one.offset for one in kept if one.offset >= 0}
            self.places: Places = {}
            for one in own:
                low, high = self._consumer.get_watermark_offsets(one, timeout=_TIMEOUT_S)
                one.offset = self._existing(one, places.get((one.topic, one.partition)), low, high)
                self.places[one.topic, one.partition] = one.offset
            self._consumer.assign(own)
            self._consumer.pause(own)

    def read(self, *, most: int = 2_000, within_s: float = 0.2) -> list[Told]:
        """What is new, as soon as there is something; nothing after so long. Raises KafkaFailure."""
        deadline_s = time.monotonic() + within_s
        while True:
            try:
                told = self._fetch(most)
            except KafkaException as error:
                self._away(error)
                return []
            if told or self._stopped() or time.monotonic() >= deadline_s:
                return told
            time.sleep(_ASK_EVERY_S)

    def commit(self) -> None:
        """What was read is dealt with."""
        at = [TopicPartition(topic, number, offset) for (topic, number), offset in self.places.items()]
        try:
            self._consumer.commit(offsets=at, asynchronous=False)
        except KafkaException as error:  # it comes again
            self._away(error)

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()

    def _fetch(self, most: int) -> list[Told]:
        ends = {place: self._end(place) for place in self.places}
        behind = {place: end for place, end in ends.items() if end > self.places[place]}
        self._outage.end("tail")
        if not behind:
            return []
        new = [TopicPartition(*place) for place in behind]
        self._consumer.resume(new)
        for place in behind:  # librdkafka looks after resumed partitions when it is asked something else
            self._end(place)
        told: list[Told] = []
        deadline_s = time.monotonic() + _PAUSE_S
        try:
            while len(told) < most and time.monotonic() < deadline_s:
                told += [self._take(message) for message in self._consumed(most - len(told))]
                if all(self.places[place] >= end for place, end in behind.items()):
                    break
        finally:
            self._consumer.pause(new)
        return told

    def _consumed(self, most: int) -> list[Message]:
        first = self._consumer.poll(_ASK_EVERY_S)
        found = [] if first is None else [first, *self._consumer.consume(most - 1, 0)] if most > 1 else [first]
        for message in found:
            error = message.error()
            if error is not None:
                raise KafkaException(error)
        return found

    def _take(self, message: Message) -> Told:
        topic, number, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None
        assert number is not None
        assert offset is not None
        self.places[topic, number] = offset + 1
        return Told(topic, message.key() or b"", message.value() or b"", message.timestamp()[1])

    def _end(self, place: tuple[str, int]) -> int:
        _, high = self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=_TIMEOUT_S)
        return high

    def _existing(self, one: TopicPartition, place: int | None, low: int, high: int) -> int:
        if place is None:
            return low
        if place < low:
            logger.error("%s: %d messages were deleted before they were read", one.topic, low - place)
        elif place > high:
            logger.warning("%s ends at %d and was read up to %d: going on at its end", one.topic, high, place)
        return min(max(place, low), high)

    def _away(self, error: KafkaException) -> None:
        reason = error.args[0]
        failure = self._connection.failure(reason)
        if is_refusal(reason):
            raise failure from None
        self._outage.begin("tail", failure)
        time.sleep(_PAUSE_S)
