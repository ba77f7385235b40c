"""TLS to Kafka and ClickHouse for real: a front that ends it stands before the embedded ones. A mistake is one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.clickhouse.client import Address, ClickHouseError, connect
from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.kafka.admin import partitions
from infra.kafka.client import Connection, KafkaFailure, Unreachable
from infra.kafka.producer import Producer
from tests.certificates import Authority
from tests.kafka import new_topic, payloads, read
from tests.tls import TlsFront, server_context

Files = tuple[Path, Path]


@dataclass(frozen=True)
class World:
    """ours: vouches for the servers and for our clients. other: for nobody we know."""

    ours: Authority
    other: Authority
    server: Files
    expired_server: Files
    client: Files
    expired_client: Files
    other_client: Files


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    home = tmp_path_factory.mktemp("certificates")
    ours, other = Authority(home / "ours"), Authority(home / "other", name="other")
    return World(
        ours=ours,
        other=other,
        server=ours.issue("server"),
        expired_server=ours.issue("old-server", expired=True),
        client=ours.issue("client"),
        expired_client=ours.issue("old-client", expired=True),
        other_client=other.issue("client"),
    )


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is refused is asked for so long."""
    monkeypatch.setattr("infra.kafka.admin._ANSWER_TIMEOUT_S", 1.0)


def kafka(front: TlsFront, ca: Path, client: Files | None = None, **more: str) -> Connection:
    settings = {"security.protocol": "SSL", "ssl.ca.location": str(ca)}
    if client is not None:
        settings |= {"ssl.certificate.location": str(client[0]), "ssl.key.location": str(client[1])}
    return Connection(bootstrap=f"127.0.0.1:{front.port}", client=settings, **more)


def address(front: TlsFront, ca: Path, client: Files | None = None, **more: Any) -> Address:
    cert, key = client or ("", "")
    given: dict[str, Any] = {"secure": True, "ca_file": str(ca), "cert_file": str(cert), "key_file": str(key)}
    return Address(port=front.port, database="default", **given | more)


@contextmanager
def one_line(kind: type[Exception], said: str) -> Iterator[None]:
    with pytest.raises(kind, match=said) as caught:
        yield
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, Unreachable)
    assert not getattr(caught.value, "transient", False)


def test_kafka_over_tls_with_a_certificate_of_ours(broker: Broker, world: World) -> None:
    topic = new_topic(broker)
    context = server_context(world.server, clients_of=world.ours)
    with TlsFront(int(broker.bootstrap.split(":")[1]), context, kafka=True) as front:
        with Producer(kafka(front, world.ours.ca, world.client)) as producer:
            producer.produce_many(topic, [(b"key", b"7", 1_700_000_000_000)])
        assert payloads(read(broker.bootstrap, topic)) == [7]
        for files, why in (
            (None, "certificate required"),
            (world.other_client, "unknown ca"),
            (world.expired_client, "certificate expired"),
        ):
            with one_line(KafkaFailure, rf"wants a certificate of ours.*{why}.*check ssl\.certificate\.location"):
                partitions(kafka(front, world.ours.ca, files), [topic], wait_s=20)


def test_a_kafka_that_nobody_vouches_for_is_refused(broker: Broker, world: World) -> None:
    port = int(broker.bootstrap.split(":")[1])
    for server, ca in ((world.server, world.other.ca), (world.expired_server, world.ours.ca)):
        said = r"certificate verify failed: check ssl\.ca\.location.*has the certificate expired\?$"
        with TlsFront(port, server_context(server), kafka=True) as front, one_line(KafkaFailure, said):
            partitions(kafka(front, ca), ["any"], wait_s=20)


def test_files_for_kafka_that_are_none(broker: Broker, world: World, tmp_path: Path) -> None:
    with TlsFront(9, server_context(world.server)) as front:
        with one_line(KafkaFailure, r"ssl\.ca\.location = '.*/none': .*expected a PEM file"):
            partitions(kafka(front, tmp_path / "none"), ["any"], wait_s=20)
        with one_line(KafkaFailure, r"ssl\.key\.location = .*key values mismatch"):
            partitions(kafka(front, world.ours.ca, (world.client[0], world.other_client[1])), ["any"], wait_s=20)
        with pytest.raises(KafkaFailure, match=r"ssl\.key\.pem: ") as caught:
            partitions(Connection(client={"security.protocol": "SSL", "ssl.key.pem": "hunter2"}), ["any"], wait_s=20)
        assert "hunter2" not in str(caught.value)


def test_clickhouse_over_tls_with_a_certificate_of_ours(clickhouse: EmbeddedClickHouse, world: World) -> None:
    context = server_context(world.server, clients_of=world.ours)
    with TlsFront(clickhouse.port, context) as front:
        for password in ("", "as well"):
            with connect(address(front, world.ours.ca, world.client, password=password)) as client:
                assert client.command("SELECT 1") == 1
        for files in (None, world.other_client, world.expired_client):
            # Which of the two it is depends on who is faster: the request, or the server's word about the handshake.
            with pytest.raises(ClickHouseError, match=r"wants? a certificate.*check clickhouse\.cert_file"):
                connect(address(front, world.ours.ca, files))


def test_a_clickhouse_that_nobody_vouches_for_is_refused(clickhouse: EmbeddedClickHouse, world: World) -> None:
    for server, ca, why in (
        (world.server, world.other.ca, "unable to get local issuer certificate"),
        (world.expired_server, world.ours.ca, "certificate has expired"),
    ):
        said = rf"its certificate is not accepted: {why}: check clickhouse\.ca_file"
        with TlsFront(clickhouse.port, server_context(server)) as front, one_line(ClickHouseError, said):
            connect(address(front, ca), wait_s=60)


def test_files_for_clickhouse_that_are_none(clickhouse: EmbeddedClickHouse, world: World, tmp_path: Path) -> None:
    with TlsFront(clickhouse.port, server_context(world.server)) as front:
        with one_line(ClickHouseError, r"clickhouse\.ca_file = '.*/none': No such file.*expected a PEM file"):
            connect(address(front, tmp_path / "none"))
        with one_line(ClickHouseError, r"clickhouse\.key_file = .*key values mismatch"):
            connect(address(front, world.ours.ca, (world.client[0], world.other_client[1])))
        with one_line(ClickHouseError, r"clickhouse\.ca_file: is for TLS, and clickhouse\.secure is false"):
            connect(address(front, world.ours.ca, secure=False))
    with one_line(ClickHouseError, "does not speak TLS at that port"):
        connect(Address(port=clickhouse.port, secure=True))
