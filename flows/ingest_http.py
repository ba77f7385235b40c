"""The HTTP service, put together: its settings checked, Kafka behind it, ClickHouse beside it."""

import logging
import math
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from ssl import SSLContext
from threading import Event

from flows.places import clickhouse_address, connection
from flows.production import registry
from flows.settings import Http, Settings, SettingsError
from infra.clickhouse.client import connect
from infra.clickhouse.export import Exporter
from infra.clickhouse.registry import load_registry
from infra.http.app import App
from infra.http.body import BodyReader
from infra.http.decoding import BodyDecoder
from infra.http.ingest import Ingest, Patience
from infra.http.keys import Bucket, Caller, Keys
from infra.http.read_api import read_api
from infra.http.server import BACKLOG, CannotServe, Server, bind, is_listening, is_loopback, tls_context
from infra.kafka.admin import partitions
from infra.kafka.client import DeliveryFailed
from infra.kafka.deliveries import Deliveries
from infra.kafka.partitioner import partition_of
from infra.observe.health import parse_address
from infra.registry import read_file
from operators.registry import Registry

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """Bound, but not serving yet. url: where it will be."""

    server: Server
    listener: socket.socket
    outlet: Deliveries
    url: str

    def run(self) -> None:
        """Serve until told to stop. Raises KafkaFailure."""
        self.server.run(self.listener)


@contextmanager
def service(settings: Settings, stop: Event) -> Iterator[Service]:
    """Everything there has to be before it serves; at the end what was taken in is delivered.

    Waits for Kafka. Raises SettingsError, KafkaFailure, ClickHouseError.
    """
    http = settings.http
    host, port = _address(http)
    keys, tls = _keys(http), _tls(http)
    topic = settings.kafka.topics[0]
    with ExitStack() as stack:
        listener = stack.enter_context(_bound(http, host, port))
        count = len(partitions(connection(settings), [topic], wait_s=math.inf, cancelled=stop.is_set))
        known = _registry(settings, stop)
        outlet = Deliveries(
            connection(settings),
            topic,
            max_bytes=http.queue_bytes,
            max_message_bytes=settings.kafka.max_payload_bytes,
        )
        exporter = Exporter(clickhouse_address(settings), at_a_time=http.exports)
        stack.callback(exporter.close)
        app = App(
            _ingest(settings, keys, outlet, known, partial(partition_of, partitions=count)),
            read_api(exporter, keys, max_rows=http.max_rows),
            keys,
            ready=lambda: _missing(outlet, http.kafka_timeout.ms / 1000),
        )
        server = Server(app, outlet, connections=http.max_connections, tls=tls)
        listener.listen(BACKLOG)
        stack.enter_context(_delivering(outlet, timeout_s=settings.worker.drain_timeout.ms / 1000))
        scheme, name = "http" if tls is None else "https", f"[{host}]" if ":" in host else host
        yield Service(server, listener, outlet, f"{scheme}://{name}:{listener.getsockname()[1]}")


def try_listener(http: Http) -> str:
    """What would be served, in words. Raises SettingsError for what would keep it from that."""
    host, port = _address(http)
    secured = "HTTPS" if _tls(http) else "HTTP"
    told = f"{secured}, {len(http.keys)} keys" if http.keys else f"{secured}, without keys"
    if port and is_listening(host, port):
        return f"{told}; something listens there already, the service if it runs"
    with _bound(http, host, port):
        return f"{told}; free"


def _ingest(
    settings: Settings, keys: Keys, outlet: Deliveries, known: Registry, partition: Callable[[bytes], int]
) -> Ingest:
    http = settings.http
    decoder = BodyDecoder(
        known,
        partition,
        max_reading_bytes=settings.kafka.max_payload_bytes,
        max_ahead_ms=settings.event_time.max_ahead.ms,
    )
    reader = BodyReader(
        max_bytes=http.max_body_bytes,
        memory_bytes=max(http.memory_bytes, 2 * http.max_body_bytes),
        timeout_s=http.body_timeout.ms / 1000,
    )
    patience = Patience(stalled_s=http.kafka_timeout.ms / 1000, ack_s=http.ack_timeout.ms / 1000)
    return Ingest(keys, reader, decoder, outlet, patience)


def _address(http: Http) -> tuple[str, int]:
    try:
        host, port = parse_address(http.listen)
    except ValueError as error:
        raise SettingsError(f"http.listen: {error}") from None
    if not http.keys and not is_loopback(host):
        raise SettingsError(
            f"http.listen = '{http.listen}': others than this machine get there, and there are no keys; make one with "
            "`streamgauge ingest key NAME`, or listen on 127.0.0.1"
        )
    if bool(http.cert_file) != bool(http.key_file):
        raise SettingsError("http.cert_file, http.key_file: HTTPS needs both")
    return host, port


@contextmanager
def _bound(http: Http, host: str, port: int) -> Iterator[socket.socket]:
    try:
        listener = bind(host, port)
    except CannotServe as error:
        raise SettingsError(f"http.listen = '{http.listen}': {error}; name another address") from None
    with listener:
        yield listener


def _keys(http: Http) -> Keys:
    return Keys(
        [
            Caller(name, bytes.fromhex(key.sha256), key.roles, None if key.rate is None else Bucket(key.rate))
            for name, key in http.keys.items()
        ]
    )


def _tls(http: Http) -> SSLContext | None:
    if not http.cert_file:
        return None
    try:
        return tls_context(http.cert_file, http.key_file, password=str(http.key_password))
    except CannotServe as error:
        raise SettingsError(f"http.cert_file, http.key_file: {error}") from None


def _registry(settings: Settings, stop: Event) -> Registry:
    """What decides about refusals; labels are completed by the flow, which stores them."""
    if settings.registry.unknown_types == "accept":
        return Registry()
    if settings.registry.file:
        return registry(settings, read_file(Path(settings.registry.file)))
    with connect(clickhouse_address(settings), wait_s=math.inf, stop=stop) as client:
        return registry(settings, load_registry(client))


def _missing(outlet: Deliveries, stalled_s: float) -> list[str]:
    if outlet.stalled_s > stalled_s:
        return [f"Kafka has taken nothing for {outlet.stalled_s:.0f} s"]
    return []


@contextmanager
def _delivering(outlet: Deliveries, *, timeout_s: float) -> Iterator[None]:
    """At the end what was taken in is delivered. Raises DeliveryFailed when it is not."""
    try:
        yield
        if outlet.waiting:
            logger.info("%s messages are still to be delivered to Kafka", f"{outlet.waiting:,}")
        left = outlet.flush(timeout_s=timeout_s)
    finally:
        outlet.close()
    if left:
        raise DeliveryFailed(
            f"messages taken in but not delivered to Kafka within worker.drain_timeout = {timeout_s:g} s: {left}; "
            "who sent them with ?ack=all was told so"
        )
