"""Reading one Kafka partition for Bytewax: place the consumer, poll, ride out what heals, say when it is idle."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic

import msgspec
from bytewax.inputs import StatefulSourcePartition
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from typing_extensions import override

from infra.kafka.client import Connection, is_absence, is_refusal
from infra.kafka.messages import offset_of, to_messages
from infra.kafka.outage import Outage
from infra.kafka.schemas import SchemaSource
from infra.kafka.start import Start, first_since
from infra.observe.meters import PartitionMeter
from operators.intake import Intake, IntakeBatch, SourceState

BATCH_MESSAGES = 10_000
"""Most messages of one batch."""
_PLENTY = BATCH_MESSAGES // 2
_FETCH_BYTES = 256 * 1024
"""Of one answer. Producers compress: unpacked, and as librdkafka keeps it, this takes about thirty times the memory."""
_COALESCE = timedelta(milliseconds=50)
"""Pause after less than plenty, in which librdkafka's queue fills while the worker serves other partitions."""

_HASTY_FETCHES_PER_S = 200
_GLANCE = timedelta(milliseconds=2)
"""How soon to look for what a resumed partition has fetched."""

_PLACE_TIMEOUT_S = 2.0
_VERIFY_TIMEOUT_S = 0.5
_ABSENT_S = 60.0
_LAST_COMMIT_S = 1.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """What the partitions of one source share. See `infra.kafka.source.KafkaSource` for the settings.

    queue_kbytes: bound of what librdkafka fetches ahead for one partition.
    schemas: finds out about those of payloads that a schema registry frames; None: there is no registry.
    """

    connection: Connection
    group: str
    start: Start
    idle_after_s: float
    max_epoch_rows: int
    stop_at_end: bool
    stop: threading.Event
    queue_kbytes: int
    outage: Outage
    schemas: SchemaSource | None = None

    def consumer(
        self,
        *,
        on_error: Callable[[KafkaError], None],
        on_commit: Callable[..., None],
        on_statistics: Callable[[str], None],
    ) -> Consumer:
        """A consumer tuned for large batches within bounded memory. Raises KafkaFailure."""
        settings = {
            "group.id": self.group,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            # The group is never joined. This is how long a commit waits for a coordinator, also at the end.
            "session.timeout.ms": 1_000,
            "heartbeat.interval.ms": 300,
            # Below this it fetches more. The embedded broker answers at once also when there is no more: asked early,
            # it takes the processor away from the end of a backlog.
            "queued.min.messages": BATCH_MESSAGES,
            "queued.max.messages.kbytes": self.queue_kbytes,
            "fetch.message.max.bytes": _FETCH_BYTES,
            "fetch.queue.backoff.ms": 5,
            "fetch.error.backoff.ms": 100,
            # The embedded broker answers with all it has, whatever it is asked for.
            "receive.message.max.bytes": 1_000_000_000,
            "error_cb": on_error,
            "on_commit": on_commit,
            "statistics.interval.ms": 1_000,
            "stats_cb": on_statistics,
        }
        with self.connection.explained():
            return Consumer(self.connection.config(settings))


class _Broker(msgspec.Struct):
    req: dict[str, int] = {}


class _Statistics(msgspec.Struct):
    """What is read of librdkafka's statistics."""

    brokers: dict[str, _Broker]


class KafkaPartition(StatefulSourcePartition[IntakeBatch, SourceState]):
    """One partition of a topic. Never blocks while Kafka answers; asks again, once a second, while it does not."""

    def __init__(
        self, topic: str, partition: int, *, reader: Reader, intake: Intake, resume_state: SourceState | None
    ) -> None:
        self._name = f"{topic}/{partition}"
        self._topic, self._partition = topic, partition
        self._reader = reader
        self._intake = intake
        self._consumer = reader.consumer(
            on_error=self._on_error, on_commit=self._on_commit, on_statistics=self._on_statistics
        )
        self._awake: datetime | None = None
        self._meter = PartitionMeter(topic, partition)

        self._position = resume_state[0] if resume_state else -1
        self._end_event = -1
        self._placed = False
        self._end: int | None = None
        self._newest_kafka_ms: int | None = None
        self._epoch_rows = 0
        self._completed = self._committed = -1
        self._committing = False

        self._caught_up = self._never_used = self._said_idle = False
        self._heard_s = monotonic()

        self._held: list[Message] = []
        self._fetches = 0
        self._hasty = self._resting = False

        self._refusal: KafkaError | None = None
        self._suspicious = False
        self._absent_since_s: float | None = None

    @override
    def next_batch(self) -> list[IntakeBatch]:
        self._awake = datetime.now(UTC) + _COALESCE
        self._meter.asked()
        if self._reader.stop.is_set():
            raise StopIteration
        if self._at_end():
            self._intake.idle()  # raises when too much was refused
            raise StopIteration
        self._show_progress()
        if not self._placed and not self._place():
            return []
        if self._suspicious:
            self._verify()
        if self._resting and not self._held:
            self._ask_again()
        room = min(BATCH_MESSAGES, self._reader.max_epoch_rows - self._epoch_rows)
        polled = self._consumer.consume(room, 0) if room > 0 and not self._held else []
        if self._refusal is not None:
            raise self._reader.connection.failure(self._refusal, topic=self._topic)
        if len(polled) >= _PLENTY:
            self._awake = None
        messages = self._readable(self._held or self._sift(polled))
        if self._held:
            self._meter.behind(self._lag())
            return []
        self._meter.polled(len(messages), held=room <= 0)
        if self._hasty and self._caught_up and not self._resting:
            self._rest()
        batches = [self._feed(messages)] if messages else self._silence()
        self._meter.behind(self._lag())
        return batches

    @override
    def next_awake(self) -> datetime | None:
        return self._awake

    @override
    def snapshot(self) -> SourceState:
        self._epoch_rows = 0
        self._meter.snapshot()
        state = self._intake.snapshot()
        if self._position < 0:
            return state
        self._completed = self._position
        # The intake knows no position before its first message; "latest" must not be looked up anew after a restart.
        return (self._position, *state[1:])

    @override
    def close(self) -> None:
        if not self._reader.outage.lasts:
            deadline_s = monotonic() + _LAST_COMMIT_S
            self._show_progress()
            while self._committing and monotonic() < deadline_s:
                self._consumer.poll(0.02)
                self._show_progress()
        self._reader.outage.end(self._name)
        self._meter.close()
        # Consumer.close() would wait for a coordinator that may be away; letting go of it only ends its threads.
        del self._consumer

    def _on_statistics(self, text: str) -> None:
        """Once a second. A broker should keep a fetch for half a second when there is nothing new; not all do."""
        brokers = msgspec.json.decode(text, type=_Statistics).brokers.values()
        before, self._fetches = self._fetches, sum(broker.req.get("Fetch", 0) for broker in brokers)
        self._hasty = self._hasty or self._fetches - before > _HASTY_FETCHES_PER_S

    def _rest(self) -> None:
        """Stop asking until the next batch is due: librdkafka and such a broker would keep two cores busy."""
        self._consumer.pause([TopicPartition(self._topic, self._partition)])
        self._resting = True

    def _ask_again(self) -> None:
        """Rest on until there is something new."""
        place = TopicPartition(self._topic, self._partition)
        try:
            _, high = self._consumer.get_watermark_offsets(place, timeout=_VERIFY_TIMEOUT_S)
            if not self._is_at(high):
                self._consumer.resume([place])
                # librdkafka looks for resumed partitions once a second, or when something else is asked of the broker.
                self._consumer.get_watermark_offsets(place, timeout=_VERIFY_TIMEOUT_S)
                self._resting = self._caught_up = False
                self._awake = datetime.now(UTC) + _GLANCE
        except KafkaException as error:
            self._unanswered(error.args[0], timeout_s=_VERIFY_TIMEOUT_S)
            self._placed = False  # with the next answer the partition is taken up again

    def _place(self) -> bool:
        """Stand at the position to read on from; False while Kafka does not answer."""
        if not self._reader.outage.may_ask():
            return False
        place = TopicPartition(self._topic, self._partition)
        try:
            low, high = self._consumer.get_watermark_offsets(place, timeout=_PLACE_TIMEOUT_S)
            if self._position < 0:
                start = self._reader.start
                place.offset = start.offset(self._consumer, place, low=low, high=high, timeout_s=_PLACE_TIMEOUT_S)
            else:
                place.offset = self._existing(place, low, high)
            self._consumer.assign([place])
            if self._resting:  # a pause outlives being assigned anew
                self._consumer.resume([place])
            self._resting, self._end_event = False, -1
            self._held = []  # they come once more
        except KafkaException as error:
            if self._end is None:  # nothing is assigned, so no message can come: let in what librdkafka has to say
                self._consumer.poll(0)
            self._unanswered(error.args[0], _PLACE_TIMEOUT_S)
            return False
        self._position, self._placed = place.offset, True
        if self._end is None:
            self._end, self._never_used = high, high == 0
        self._answered(high)
        return True

    def _existing(self, place: TopicPartition, low: int, high: int) -> int:
        """The position, or where to go on when the partition has no such offset any more. Raises KafkaException."""
        if self._position < low:
            logger.error(
                "%s: offsets %d to %d were deleted before they were read: %d messages are lost; going on at %d. "
                "Does the topic keep messages for shorter (retention.ms, retention.bytes) than this flow was away?",
                *(self._name, self._position, low - 1, low - self._position, low),
            )
            return low
        if self._position > high:
            # What was read already is not read again, so neither lost nor counted twice; what came since is.
            at = high
            if self._newest_kafka_ms is not None:
                since_ms = self._newest_kafka_ms + 1
                at = first_since(self._consumer, place, since_ms, end=high, timeout_s=_PLACE_TIMEOUT_S)
            logger.error(
                "%s: ends at offset %d but was read up to %d: the broker lost messages or the topic was made anew; "
                "going on at %d. To read a new topic from its beginning, start with an empty recovery store",
                *(self._name, high, self._position, at),
            )
            return at
        return self._position

    def _sift(self, polled: list[Message]) -> list[Message]:
        """The messages among what was polled; notes what else there is."""
        if any(map(Message.error, polled)):
            for message in polled:
                error = message.error()
                self._caught_up = error is not None and error.code() == KafkaError._PARTITION_EOF
                if self._caught_up:
                    self._end_event = offset_of(message)
                elif error is not None:
                    self._on_error(error)
            polled = [message for message in polled if message.error() is None]
        elif polled:
            self._caught_up = False
        if self._reader.stop_at_end and self._end is not None and polled and offset_of(polled[-1]) >= self._end:
            polled = [message for message in polled if offset_of(message) < self._end]
        return polled

    def _readable(self, messages: list[Message]) -> list[Message]:
        """The messages, or none while schemas of theirs are not known: then they are held, and nothing is polled."""
        schemas = self._reader.schemas
        self._held = []
        if schemas is None or not messages or schemas.ready(map(Message.value, messages)):
            return messages
        self._held, self._heard_s = messages, monotonic()
        return []

    def _feed(self, polled: list[Message]) -> IntakeBatch:
        messages = to_messages(polled)
        batch = self._intake.feed(messages)  # first: what it refuses to go on from is not read
        self._position = int(messages.offsets[-1]) + 1
        self._newest_kafka_ms = int(messages.kafka_ms[-1])
        self._meter.fed(batch, len(messages))
        self._heard_s = monotonic()
        self._never_used = self._said_idle = self._suspicious = False
        self._reader.outage.end(self._name)
        self._epoch_rows += max(len(messages), len(batch.readings) if batch.readings is not None else 0)
        return batch

    def _lag(self) -> int:
        """Messages not read yet, by what librdkafka heard of last: nothing is asked."""
        _, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, self._partition), cached=True)
        return max(0, high - self._position)

    def _silence(self) -> list[IntakeBatch]:
        """Nothing came: say once that the partition is idle, when it is."""
        if self._said_idle or not self._caught_up:
            return []
        idle_after_s = self._reader.idle_after_s
        if not self._never_used:
            if not idle_after_s or monotonic() - self._heard_s < idle_after_s:
                return []
            # What librdkafka has not fetched may yet be there: this process was stopped, or the connection carried
            # nothing. So the broker is asked, once for each silence.
            self._suspicious = True
            self._verify()
            if self._suspicious or not self._caught_up:
                return []
        self._said_idle = True
        batch = self._intake.idle()
        return [] if batch is None else [batch]

    def _at_end(self) -> bool:
        if not self._reader.stop_at_end or self._end is None or self._held:
            return False
        # The end event counts too, see _is_at.
        return (self._caught_up or self._position >= self._end) and (self._said_idle or not self._never_used)

    def _show_progress(self) -> None:
        """Commit the last completed epoch's offset to the consumer group, without waiting.

        Bytewax asks for the next batch after a snapshot only when the sinks have finished theirs.
        """
        if self._placed and not self._committing and self._completed > self._committed:
            self._committing = True
            self._committed = self._completed
            self._consumer.commit(offsets=[TopicPartition(self._topic, self._partition, self._completed)])

    def _on_commit(self, error: KafkaError | None, _: list[TopicPartition]) -> None:
        self._committing = False
        if error is not None:
            logger.debug("%s: offset not committed, only lag tools miss it: %s", self._name, error)

    def _on_error(self, error: KafkaError) -> None:
        """Told by librdkafka, within `consume`, about the partition or about brokers at large."""
        code = error.code()
        if code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            self._placed = False
        elif is_refusal(error) and code != KafkaError.GROUP_AUTHORIZATION_FAILED:  # only lag tools need the group
            self._refusal = error
        else:
            logger.debug("%s: %s", self._name, error)
            self._suspicious = True

    def _verify(self) -> None:
        """librdkafka does not say when a quiet partition is served again: ask."""
        if not self._reader.outage.may_ask():
            return
        place = TopicPartition(self._topic, self._partition)
        try:
            _, high = self._consumer.get_watermark_offsets(place, timeout=_VERIFY_TIMEOUT_S)
        except KafkaException as error:
            self._unanswered(error.args[0], _VERIFY_TIMEOUT_S)
        else:
            self._answered(high)

    def _is_at(self, high: int) -> bool:
        """Whether all before an offset was read, but for control records of transactions, which nobody is given."""
        return max(self._position, self._end_event) >= high

    def _answered(self, high: int) -> None:
        self._suspicious, self._absent_since_s = False, None
        self._caught_up = self._is_at(high)
        self._heard_s = monotonic()
        self._reader.outage.end(self._name)

    def _unanswered(self, error: KafkaError, timeout_s: float) -> None:
        reason = self._reason(error, timeout_s)
        if reason is None:
            return
        failure = self._reader.connection.failure(self._refusal or reason, topic=self._topic)
        if self._refusal is not None or is_refusal(reason):
            raise failure
        if is_absence(reason):
            self._absent_since_s = self._absent_since_s or monotonic()
            if monotonic() - self._absent_since_s > _ABSENT_S:
                raise failure
        self._caught_up = False
        self._reader.outage.begin(self._name, failure)

    def _reason(self, error: KafkaError, timeout_s: float) -> KafkaError | None:
        """librdkafka calls a partition unknown also while brokers are away; None when metadata knows it again."""
        if not is_absence(error):
            return error
        try:
            metadata = self._consumer.list_topics(self._topic, timeout=timeout_s).topics[self._topic]
        except KafkaException as away:
            reason: KafkaError = away.args[0]
            return reason
        if metadata.error is None and self._partition not in metadata.partitions:
            return error
        unusable: KafkaError | None = metadata.error
        return unusable
