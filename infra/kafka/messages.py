"""From confluent_kafka's messages to columns; the hottest path of the source, so nothing per message that C can do."""

from operator import itemgetter

import numpy as np
from confluent_kafka import Message

from operators.batches import Messages

_milliseconds = itemgetter(1)


def to_messages(polled: list[Message]) -> Messages:
    """Consecutive messages of one partition, none of them an error event."""
    count = len(polled)
    first, last = offset_of(polled[0]), offset_of(polled[-1])
    if last - first == count - 1:  # offsets only grow: there is no gap
        offsets = np.arange(first, last + 1, dtype=np.int64)
    else:
        offsets = np.fromiter(map(offset_of, polled), np.int64, count)
    kafka_ms = np.fromiter(map(_milliseconds, map(Message.timestamp, polled)), np.int64, count)
    return Messages(list(map(Message.value, polled)), offsets, kafka_ms)


def offset_of(message: Message) -> int:
    """A received message's offset."""
    offset = message.offset()
    assert offset is not None, "only messages that were never sent have no offset"
    return offset
