"""Where simulated readings are sent."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from flows.places import connection
from flows.schemas import registry_place
from flows.settings import Settings, SettingsError
from infra.kafka.admin import partition_counts
from infra.kafka.producer import Producer as KafkaProducer
from infra.kafka.schemas_produce import Format, framing
from infra.mqtt.errors import need_paho
from infra.simulate.over_http import HttpProducer
from infra.simulate.runner import Producer


@contextmanager
def destination(
    settings: Settings, to: str, key_file: Path | None = None, form: Format | None = None
) -> Iterator[tuple[Producer, str]]:
    """What takes messages, and its name: the first topic, an MQTT broker, a URL. All is delivered at the end.

    to: "mqtt", "mqtt://host:port", "mqtts://host:port", "http", "http://host:port", "https://host:port"; "" for Kafka.
    key_file: holds the API key for the HTTP service.
    form: in which Kafka gets them, with a schema; None for JSON without one.
    Raises KafkaFailure, MqttFailure, NotTakenIn, SettingsError.
    """
    if form is not None and (to or not settings.schemas.url):
        raise SettingsError(f"--format {form}: for Kafka only, and needs schemas.url, the schema registry")
    if not to:
        topic = first_topic(settings)
        with KafkaProducer(connection(settings)) as producer:
            if form is None:
                yield producer, topic
                return
            with framing(producer, registry_place(settings), topic, form) as framed:
                yield framed, topic
        return
    scheme = to.partition(":")[0]
    if scheme in ("http", "https"):
        url = f"http://{settings.http.listen}" if to == "http" else to
        with HttpProducer(url, key=_key(key_file)) as producer_over_http:
            yield producer_over_http, url
        return
    if scheme not in ("mqtt", "mqtts"):
        raise SettingsError(f"--to {to}: expected mqtt, http, or a URL of mqtt:, mqtts:, http: or https:")
    need_paho()
    from flows.ingest_mqtt import mqtt_place
    from infra.mqtt.publisher import Publisher
    from infra.mqtt.template import TopicTemplate

    mqtt = settings.mqtt if to == "mqtt" else msgspec.structs.replace(settings.mqtt, url=to)
    template = TopicTemplate(mqtt.template)
    with Publisher(mqtt_place(mqtt), template) as publisher:
        yield publisher, f"{mqtt.url} {template.filter}"


def _key(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is no text"
        raise SettingsError(f"--key-file {file}: {why}") from None


def first_topic(settings: Settings) -> str:
    """The first topic, which must be there: a missing one would be noticed only when nothing arrives."""
    topic = settings.kafka.topics[0]
    partition_counts(connection(settings), [topic])
    return topic
