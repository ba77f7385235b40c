"""MQTT into Kafka: what `streamgauge ingest mqtt` runs."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Event

from flows.places import connection
from flows.settings import Mqtt, Settings
from infra.kafka.admin import partitions
from infra.kafka.client import KafkaFailure
from infra.kafka.delivery import ReportingProducer
from infra.mqtt.bridge import Bridge
from infra.mqtt.place import Place
from infra.mqtt.template import TopicTemplate, check_filter
from infra.observe.health import HealthServer
from infra.observe.metrics import exposition


def mqtt_place(mqtt: Mqtt) -> Place:
    """The configured MQTT broker. Raises MqttFailure."""
    return Place(
        url=mqtt.url,
        client_id=mqtt.client_id,
        protocol=mqtt.protocol,
        username=mqtt.username,
        password=str(mqtt.password),
        ca_file=mqtt.ca_file,
        cert_file=mqtt.cert_file,
        key_file=mqtt.key_file,
        key_password=str(mqtt.key_password),
        keepalive_s=max(1, mqtt.keepalive.ms // 1000),
    )


def filters(mqtt: Mqtt) -> list[str]:
    """What to subscribe to. Raises MqttFailure."""
    topics = mqtt.topics or (TopicTemplate(mqtt.template).filter,)
    for topic in topics:
        check_filter(topic)
    return [f"$share/{mqtt.group}/{topic}" for topic in topics] if mqtt.group else list(topics)


def bridge_until(settings: Settings, stop: Event) -> int:
    """Bridge until `stop`, then drain; how many messages the MQTT broker has to send again.

    Waits for Kafka, and for the MQTT broker. Raises MqttFailure, KafkaFailure, and OSError when it cannot listen.
    """
    mqtt = settings.mqtt
    place, template, wanted = mqtt_place(mqtt), TopicTemplate(mqtt.template), filters(mqtt)
    place.check()
    topic = settings.kafka.topics[0]
    with ExitStack() as stack:
        health = stack.enter_context(_health(settings))
        try:
            partitions(connection(settings), [topic], wait_s=math.inf, cancelled=stop.is_set)
        except KafkaFailure:
            if stop.is_set():
                return 0
            raise
        log = ReportingProducer(connection(settings), topic)
        stack.callback(log.close)
        bridge = Bridge(
            place,
            log,
            template=template,
            filters=wanted,
            receive_maximum=mqtt.receive_maximum,
            session_expiry_s=mqtt.session_expiry.ms // 1000,
            status_topic=mqtt.status_topic,
        )
        health.watch(bridge, log)
        return bridge.run(stop, drain_s=settings.worker.drain_timeout.ms / 1000)


class _Health:
    """What is missing for messages to pass."""

    def __init__(self) -> None:
        self._both: tuple[Bridge, ReportingProducer] | None = None

    def watch(self, bridge: Bridge, log: ReportingProducer) -> None:
        self._both = bridge, log

    def missing(self) -> list[str]:
        if self._both is None:
            return ["Kafka has not answered yet"]
        bridge, log = self._both
        missing = [] if bridge.connected else ["the MQTT broker is away"]
        return [*missing, "Kafka is away"] if log.waits else missing


@contextmanager
def _health(settings: Settings) -> Iterator[_Health]:
    """/health/live, /health/ready and /metrics, where [observe] listen says."""
    health = _Health()
    with ExitStack() as stack:
        if settings.observe.listen:
            server = HealthServer(settings.observe.listen, live=list, ready=health.missing, metrics=exposition)
            stack.enter_context(server)
        yield health
