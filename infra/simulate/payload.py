"""Readings as JSON: what is the same for all readings of a sensor is encoded once."""

import msgspec

from operators.batches import Series
from operators.records import Reading


class Encoder:
    """Encodes the readings of one sensor. key: the Kafka key, its sensor_id.

    Raises msgspec.ValidationError when a label of the series does not fit `Reading`.
    """

    __slots__ = ("_head", "key")

    def __init__(self, series: Series) -> None:
        labels = {name: text for name, text in series._asdict().items() if text}
        msgspec.convert({**labels, "value": 0.0, "timestamp": 0}, Reading)
        self.key = series.sensor_id.encode()
        self._head = msgspec.json.encode(labels)[:-1] + b',"value":'

    def encode(self, value: float, time_ms: int, tail: bytes) -> bytes:
        """value must be finite; `tail` comes from `tail(label)`."""
        return b'%b%r,"timestamp":%d%b' % (self._head, value, time_ms, tail)


def tail(label: str) -> bytes:
    """The end of a payload: the ground truth when there is one."""
    return b',"label":%b}' % msgspec.json.encode(label) if label else b"}"
