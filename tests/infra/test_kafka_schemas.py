"""The schema registry: asked over real HTTP; while it is away the source waits, and nothing is lost or refused."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer as RawProducer

from infra.embedded.broker import Broker
from infra.kafka.partition import KafkaPartition
from infra.kafka.producer import Producer
from infra.kafka.schemas import RegistryAway, RegistryPlace, SchemaFailure, SchemaSource
from infra.kafka.schemas import registry as ask
from infra.kafka.schemas_produce import Format, framing
from infra.kafka.source import KafkaSource
from operators.framed import Schemas
from operators.intake import IntakeBatch, IntakeConfig, PartitionIntake
from operators.registry import Registry
from tests.certificates import Authority
from tests.kafka import connection, eventually, new_topic
from tests.operators import schemas as made
from tests.operators.payloads import NOW_MS, reading
from tests.registry import FakeRegistry

CONFIG = IntakeConfig(dead_letter_share=1.0, max_ahead_ms=10**9)
FORMATS: tuple[Format, ...] = ("avro", "protobuf", "json-schema")


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        yield running


class Run:
    """One partition, read with a schema registry."""

    def __init__(self, broker: Broker, topic: str, place: RegistryPlace, **options: Any) -> None:
        schemas = SchemaSource(place, Schemas())

        def intake(topic: str, partition: int, state: Any) -> PartitionIntake:
            return PartitionIntake(
                topic, partition, config=CONFIG, registry=Registry(), state=state, schemas=schemas.schemas
            )

        self.batches: list[IntakeBatch] = []
        source = KafkaSource(connection(broker), (f"{topic}/0",), intake, schemas=schemas, **options)
        self.part: KafkaPartition = source.build_part("step", f"{topic}/0", None)

    def more(self) -> int:
        """How many readings and rejects there are."""
        self.batches += self.part.next_batch()
        return sum(len(rows) for b in self.batches for rows in (b.readings, b.rejects) if rows is not None)

    @property
    def values(self) -> list[float]:
        read = [batch.readings.value for batch in self.batches if batch.readings is not None]
        return np.concatenate(read).tolist() if read else []

    @property
    def reasons(self) -> list[str]:
        return [row["reason"] for b in self.batches if b.rejects is not None for row in b.rejects.to_dicts()]


def put(broker: Broker, topic: str, *payloads: bytes) -> None:
    producer = RawProducer({"bootstrap.servers": broker.bootstrap, "log_level": 2})
    for payload in payloads:
        producer.produce(topic, payload, partition=0, timestamp=NOW_MS)
    assert producer.flush(20) == 0


@pytest.mark.parametrize("form", FORMATS)
def test_what_confluents_serializers_write_is_read(broker: Broker, registry: FakeRegistry, form: Format) -> None:
    topic, place = new_topic(broker), RegistryPlace(url=registry.url)
    with Producer(connection(broker)) as producer, framing(producer, place, topic, form) as framed:
        sent = [(b"k", reading(value=n, location="lab", label="normal"), NOW_MS) for n in range(50)]
        framed.produce_many(topic, [*sent, (b"k", b"broken", NOW_MS), (b"k", reading(value="hot"), NOW_MS)])
        framed.flush()
    assert registry.subjects == {f"{topic}-value": [1]}
    run = Run(broker, topic, place)
    assert eventually(lambda: run.more() == 52)
    run.part.close()
    assert run.values == list(range(50))
    # What could not be serialized came as it was.
    assert run.reasons == ["bad_json", "wrong_type"]
    first = next(batch.readings for batch in run.batches if batch.readings is not None)
    assert first.series.values[0].location == "lab"
    assert first.label is not None
    assert sum("/schemas/ids/1" in path for path in registry.paths) <= 2, "asked once a format, not once a message"


def test_while_the_registry_is_away_messages_wait_and_it_is_said_once(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    topic, registry = new_topic(broker), FakeRegistry()
    with registry:
        avro, proto = registry.add(made.avro_text()), registry.add(made.proto_text())
    framed = [made.avro({**made.GOOD, "value": float(n)}, number=avro) for n in range(5)]
    put(broker, topic, reading(value=-1), *framed, made.proto(made.GOOD | {"value": 5.0}, number=proto))
    run = Run(broker, topic, RegistryPlace(url=registry.url, timeout_s=2), stop_at_end=True, idle_after_ms=1)
    assert eventually(lambda: run.more() > 0 or any("schema registry" in one.message for one in caplog.records))
    for _ in range(20):
        assert run.more() == 0, "not even idle, and not at its end"
    assert not run.batches
    assert run.part.snapshot()[0] in (0, -1), "a restart reads them again"
    with registry:
        registry.status = 503  # there, but it cannot answer yet
        assert eventually(lambda: not run.more() and any("/ids/" in path for path in registry.paths))
        registry.status = 0
        assert eventually(lambda: run.more() == 7)
    run.part.close()
    assert run.values == [-1, 0, 1, 2, 3, 4, 5]
    said = [one.message for one in caplog.records if one.levelno >= logging.WARNING]
    assert len(said) == 2, said
    assert "does not answer: is it running, and is schemas.url right?" in said[0]
    assert "the schema registry is back after" in said[1]


def test_a_number_the_registry_does_not_know_is_refused(broker: Broker, registry: FakeRegistry) -> None:
    topic = new_topic(broker)
    other = registry.add(made.json_text({"type": "string"}))
    missing = [{"name": "Gone", "subject": "gone", "version": 1}]
    torn = registry.add(made.avro_text(), references=missing)
    put(broker, topic, made.framed(77, b"x"), reading(), made.framed(other, b'"x"'), made.framed(torn, b"x"))
    run = Run(broker, topic, RegistryPlace(url=registry.url))
    assert eventually(lambda: run.more() == 4)
    run.part.close()
    assert run.reasons == ["unknown_schema", "wrong_type", "bad_schema"]


def test_references_are_fetched(registry: FakeRegistry) -> None:
    place = {"type": "record", "name": "Place", "namespace": "plant", "fields": [{"name": "hall", "type": "string"}]}
    registry.add(made.avro_text(place), "place")
    whole = made.record(sensor_id="string", place="plant.Place")
    number = registry.add(made.avro_text(whole), references=[{"name": "plant.Place", "subject": "place", "version": 1}])
    with ask(RegistryPlace(url=registry.url)) as at:
        found = at.schema(number)
    assert found is not None
    assert [(name, json.loads(text)) for name, text in found.references] == [("plant.Place", place)]
    assert Schemas(fields={"location": ("place.hall",)}).add(number, found).fields["location"] == "place.hall"


def asked(place: RegistryPlace) -> None:
    with ask(place) as registry:
        registry.schema(1)


def test_login_and_certificates(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    with FakeRegistry(login="plant:s3cret", tls=authority.issue("registry")) as registry:
        registry.add(made.avro_text())
        right = RegistryPlace(url=registry.url, ca_file=str(authority.ca), username="plant", password="s3cret")
        asked(right)
        with pytest.raises(SchemaFailure, match=r"refuses: 401 Unauthorized: check schemas.username") as refused:
            asked(replace(right, password="wr0ng"))
        assert "wr0ng" not in str(refused.value)
        with pytest.raises(SchemaFailure, match=r"TLS: .*check schemas.ca_file"):
            asked(replace(right, ca_file=""))
    with FakeRegistry(tls=authority.issue("old", expired=True)) as registry:
        place = RegistryPlace(url=registry.url, ca_file=str(authority.ca))
        with pytest.raises(SchemaFailure, match=r"TLS: certificate has expired"):
            asked(place)


def test_mistakes_are_told_and_what_may_heal_is_told_apart(registry: FakeRegistry) -> None:
    with pytest.raises(SchemaFailure, match=r"is schemas.url right, with its path\?"):
        asked(RegistryPlace(url=f"{registry.url}/elsewhere"))
    with pytest.raises(SchemaFailure, match=r"check url and the files"):
        asked(RegistryPlace(url=registry.url, ca_file="no-such-file.pem"))
    registry.status = 503
    with pytest.raises(RegistryAway, match="503"):
        asked(RegistryPlace(url=registry.url))
    away = RegistryPlace(url="http://user:hidden@127.0.0.1:1")
    with pytest.raises(RegistryAway) as failure:
        asked(away)
    assert "hidden" not in str(failure.value) + repr(failure.value.__cause__)


def test_a_wrong_password_ends_the_source(broker: Broker) -> None:
    topic = new_topic(broker)
    with FakeRegistry(login="plant:s3cret") as registry:
        put(broker, topic, made.avro(made.GOOD))
        run = Run(broker, topic, RegistryPlace(url=registry.url))
        with pytest.raises(SchemaFailure, match="401"):
            eventually(lambda: run.more() > 0)
        run.part.close()
