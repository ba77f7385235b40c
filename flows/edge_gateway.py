"""All of a device that speaks to others, in one light process: MQTT in, alerts and verdicts out, and on to a Kafka.

MQTT --bridge--> log of readings            (the flow reads it, and writes alerts, verdicts, windows)
MQTT, mail ... <--channels-- record <--tail-- log of alerts
MQTT <--publisher--tail-- log of verdicts
Kafka elsewhere <--forwarder-- spool <--tail-- whichever of them
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from flows import edge
from flows.ingest_mqtt import filters, mqtt_place
from flows.notifier import Intake, policy, teller
from flows.places import clickhouse_address, connection
from flows.settings import Settings
from infra.edge.forward import Forwarder
from infra.edge.log import LastingLog
from infra.edge.spool import Spool
from infra.kafka.client import Connection
from infra.kafka.tail import Tail, Told
from infra.kafka.trim import Trimmer
from infra.mqtt.bridge import Bridge
from infra.mqtt.errors import MqttFailure
from infra.mqtt.publisher import Publisher
from infra.mqtt.template import TopicTemplate
from infra.notify.channel import Channel
from infra.notify.message import Change
from infra.notify.record import Record
from infra.observe import metrics
from infra.observe.health import HealthServer
from infra.observe.metrics import exposition

_GATHER_S, _GATHER = 1.0, 5_000
"""So long messages gather before they are written to the spool, and so many at most."""
_TRIM_EVERY_S, _KEEP_EPOCHS = 5.0, 3
_PAUSE_S = 1.0
_END_S = 10.0
_NOT_IN_A_LEVEL = str.maketrans("/+#\0", "____")

logger = logging.getLogger(__name__)


def gateway(settings: Settings, stop: threading.Event, *, store: bool) -> int:
    """Until `stop`, then drain; how many messages the MQTT broker has to send again. Raises what people can act on."""
    mqtt, topics = settings.mqtt, edge.topics(settings)
    place = mqtt_place(mqtt)
    place.check()
    with ExitStack() as stack:
        crew = _Crew(stop)
        stack.callback(crew.end)
        log = LastingLog(connection(settings), topics["readings"], edge.log_dir(settings))
        stack.callback(log.close)
        # Tails before the bridge: should the log have lost its end, they go on there before it is written anew.
        if edge.forwarded(settings):
            _forward(settings, crew, stack)
        _notify(settings, crew, stack, store=store)
        if settings.edge.verdicts_topic:
            _tell_verdicts(settings, crew, stack)
        crew.add("trim", _trimming(settings))
        bridge = Bridge(
            place,
            log,
            template=TopicTemplate(mqtt.template),
            filters=filters(mqtt),
            receive_maximum=mqtt.receive_maximum,
            session_expiry_s=mqtt.session_expiry.ms // 1000,
            status_topic=mqtt.status_topic,
        )

        def missing() -> list[str]:
            return [*([] if bridge.connected else ["the MQTT broker is away"]), *(["the log is away"] * log.waits)]

        if settings.observe.listen:
            stack.enter_context(HealthServer(settings.observe.listen, live=list, ready=missing, metrics=exposition))
        crew.start()
        again = bridge.run(stop, drain_s=_END_S)
        crew.end()
        crew.raise_first()
        return again


class _Crew:
    """Threads of one process: when one fails all end, and who watches the process starts it again."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self.ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._first: Exception | None = None

    def add(self, name: str, run: Callable[[threading.Event], object]) -> None:
        """run: until the event is set."""

        def guarded() -> None:
            try:
                run(self.ended)
            except Exception as error:
                self._first = self._first or error
                self._stop.set()

        self._threads.append(threading.Thread(target=guarded, name=name, daemon=True))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Within a bound: what was not finished is done again after the next start."""
        self.ended.set()
        deadline_s = time.monotonic() + _END_S
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline_s - time.monotonic()))

    def raise_first(self) -> None:
        if self._first is not None:
            raise self._first


def _forward(settings: Settings, crew: _Crew, stack: ExitStack) -> None:
    asked, topics = settings.edge, edge.topics(settings)
    spool = Spool(edge.home(settings) / "upstream.sqlite", max_bytes=asked.spool_bytes)
    stack.callback(spool.close)
    tail = Tail(
        connection(settings),
        [topics[kind] for kind in edge.forwarded(settings)],
        group=edge.FORWARDING,
        places=spool.places(),
        stopped=crew.ended.is_set,
    )
    upstream = Connection(bootstrap=asked.upstream, client=asked.client, password=str(asked.password))
    forwarder = Forwarder(upstream, spool, prefix=asked.prefix, rate=asked.rate)
    forwarder.check()

    def gather(ended: threading.Event) -> None:
        last = False
        while not last:
            last = ended.is_set()  # what came before is taken along
            told, deadline_s = tail.read(most=_GATHER), time.monotonic() + _GATHER_S
            while told and len(told) < _GATHER and time.monotonic() < deadline_s and not ended.is_set():
                told += tail.read(most=_GATHER - len(told), within_s=0.1)
            if told:
                dropped = spool.append(told, tail.places)
                tail.commit()
                metrics.FORWARD_DROPPED.inc(dropped)
                if dropped:
                    logger.error("edge.spool_bytes is full: %d messages will not be forwarded", dropped)
        tail.close()

    crew.add("spool", gather)
    crew.add("upstream", forwarder.run)


def _notify(settings: Settings, crew: _Crew, stack: ExitStack, *, store: bool) -> None:
    """As `streamgauge notify` does."""
    asked = settings.notify
    record = Record(Path(asked.record))
    stack.callback(record.close)
    silenced, in_hand = _people(settings) if store else (_nobody, _nobody)
    channels = [
        Channel(one.name, teller(settings, one), policy(one), record, silenced=silenced, in_hand=in_hand)
        for one in edge.channels(settings)
    ]
    record.forget(round(time.time() * 1000) - asked.keep.ms)
    intake = Intake(record, channels, max_age_ms=asked.max_age.ms)
    topic = edge.topics(settings)["alerts"]
    tail = Tail(connection(settings), [topic], group=asked.group, stopped=crew.ended.is_set)

    def take(told: list[Told]) -> None:
        intake.take([one.value for one in told])

    crew.add("alerts", _following(tail, take))
    for channel in channels:
        crew.add(channel.name, channel.run)


def _people(settings: Settings) -> tuple[Callable[[Change], bool], Callable[[Change], bool]]:
    """What they have silenced, and acknowledged; it is in ClickHouse."""
    from infra.clickhouse.alerts import Silences

    silences = Silences(clickhouse_address(settings))
    return silences.silenced, silences.acknowledged


def _nobody(change: Change) -> bool:
    return False


def _tell_verdicts(settings: Settings, crew: _Crew, stack: ExitStack) -> None:
    topic, template = edge.topics(settings)["verdicts"], TopicTemplate(settings.edge.verdicts_topic)
    tail = Tail(connection(settings), [topic], group=edge.TELLING_VERDICTS, stopped=crew.ended.is_set)
    place = mqtt_place(settings.mqtt)
    place = replace(place, client_id=f"{place.client_id}-verdicts")

    def run(ended: threading.Event) -> None:
        while not ended.is_set():
            try:
                with Publisher(place, template) as publisher:
                    _following(tail, lambda told: _publish(publisher, told))(ended)
            except MqttFailure:  # the bridge has said it
                ended.wait(_PAUSE_S)

    crew.add("verdicts", run)


def _publish(publisher: Publisher, told: list[Told]) -> None:
    names = [one.key.decode(errors="replace").translate(_NOT_IN_A_LEVEL) or "_" for one in told]
    publisher.produce_many("", [(name.encode(), one.value, 0) for name, one in zip(names, told, strict=True)])
    publisher.flush()


def _following(tail: Tail, take: Callable[[list[Told]], None]) -> Callable[[threading.Event], None]:
    """Hands over what is new, and notes it when it was dealt with."""

    def run(ended: threading.Event) -> None:
        while not ended.is_set():
            told = tail.read()
            if told:
                take(told)
                tail.commit()

    return run


def _trimming(settings: Settings) -> Callable[[threading.Event], None]:
    keep_s = _KEEP_EPOCHS * settings.worker.epoch.ms / 1000

    def run(ended: threading.Event) -> None:
        trimmer = Trimmer(connection(settings), edge.readers(settings), keep_s=keep_s)
        while not ended.wait(_TRIM_EVERY_S):
            trimmer.trim()

    return run
