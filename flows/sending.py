"""Where simulated readings are sent."""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from flows.production import connection
from flows.settings import Settings, SettingsError
from infra.kafka.admin import partition_counts
from infra.kafka.producer import Producer as KafkaProducer
from infra.mqtt.errors import need_paho
from infra.simulate.runner import Producer


@contextmanager
def destination(settings: Settings, to: str) -> Iterator[tuple[Producer, str]]:
    """What takes messages, and its name: the first topic, or an MQTT broker. All is delivered when the block ends.

    to: "mqtt", "mqtt://host:port", "mqtts://host:port"; "" for Kafka.
    Raises KafkaFailure, MqttFailure, SettingsError.
    """
    if not to:
        with KafkaProducer(connection(settings)) as producer:
            yield producer, first_topic(settings)
        return
    scheme = to.partition(":")[0]
    if scheme not in ("mqtt", "mqtts"):
        raise SettingsError(f"--to {to}: expected mqtt, mqtt://host:port or mqtts://host:port")
    need_paho()
    from flows.ingest_mqtt import mqtt_place
    from infra.mqtt.publisher import Publisher
    from infra.mqtt.template import TopicTemplate

    mqtt = settings.mqtt if to == "mqtt" else msgspec.structs.replace(settings.mqtt, url=to)
    template = TopicTemplate(mqtt.template)
    with Publisher(mqtt_place(mqtt), template) as publisher:
        yield publisher, f"{mqtt.url} {template.filter}"


def first_topic(settings: Settings) -> str:
    """The first topic, which must be there: a missing one would be noticed only when nothing arrives."""
    topic = settings.kafka.topics[0]
    partition_counts(connection(settings), [topic])
    return topic
