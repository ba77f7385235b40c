"""Readings into Kafka as a schema registry frames them, by Confluent's own serializers."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import msgspec

from infra.kafka import reading_schemas
from infra.kafka.producer import Producer
from infra.kafka.schemas import RegistryPlace

Format = Literal["avro", "protobuf", "json-schema"]

_Message = tuple[bytes, bytes, int]


_Serialize = Callable[[dict[str, Any]], bytes | None]


@contextmanager
def framing(producer: Producer, place: RegistryPlace, topic: str, form: Format) -> Iterator["SchemaProducer"]:
    """Hands messages to a topic over to a producer in another format. Raises SchemaFailure."""
    with place.client() as client:
        yield SchemaProducer(producer, place, _serializer(client, topic, form))


class SchemaProducer:
    """Takes readings as JSON; the first one registers the schema.

    What is no reading that fits the schema travels as it is. Raises SchemaFailure, DeliveryFailed.
    """

    def __init__(self, producer: Producer, place: RegistryPlace, serialize: _Serialize) -> None:
        self._producer, self._place, self._serialize = producer, place, serialize

    def produce_many(self, topic: str, messages: Iterable[_Message]) -> None:
        """See infra.kafka.producer."""
        self._producer.produce_many(topic, self._framed(messages))

    def flush(self) -> object:
        """See infra.kafka.producer."""
        return self._producer.flush()

    def _framed(self, messages: Iterable[_Message]) -> Iterator[_Message]:
        for key, value, timestamp_ms in messages:
            try:
                reading = msgspec.json.decode(value, type=dict[str, Any])
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                yield key, value, timestamp_ms
                continue
            yield key, self._serialized(reading) or value, timestamp_ms

    def _serialized(self, reading: dict[str, Any]) -> bytes | None:
        from confluent_kafka.serialization import SerializationError

        with self._place.explained():
            try:
                return self._serialize(reading)
            except (SerializationError, ValueError, TypeError, AttributeError):
                return None


def _serializer(client: Any, topic: str, form: Format) -> _Serialize:
    from confluent_kafka.schema_registry.avro import AvroSerializer
    from confluent_kafka.schema_registry.json_schema import JSONSerializer
    from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
    from confluent_kafka.serialization import MessageField, SerializationContext

    asked = {"subject.name.strategy.type": "TOPIC"}
    where = SerializationContext(topic, MessageField.VALUE)
    if form == "avro":
        avro = AvroSerializer(client, reading_schemas.AVRO, conf=asked)
        return lambda reading: avro(reading, where)
    if form == "json-schema":
        json = JSONSerializer(reading_schemas.JSON, client, conf=asked)
        return lambda reading: json(reading, where)
    kind = reading_schemas.protobuf_class()
    protobuf = ProtobufSerializer(kind, client, conf=asked | {"use.deprecated.format": False})
    return lambda reading: protobuf(kind(**reading), where)
