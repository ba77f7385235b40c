"""Readings over HTTP into Kafka: the real service on a real socket, before the embedded broker."""

from collections.abc import Iterator

import httpx
import pytest

from flows.settings import Settings
from infra.embedded.broker import Broker
from tests.infra.http_service import in_kafka, reading, serving, settings_for


@pytest.fixture
def settings(broker: Broker) -> Settings:
    return settings_for(broker)


@pytest.fixture
def client(settings: Settings) -> Iterator[httpx.Client]:
    with serving(settings) as one:
        yield one


def test_one_reading_is_in_kafka_when_that_was_asked_for(
    client: httpx.Client, settings: Settings, broker: Broker
) -> None:
    sent = reading(location="hall-2")
    answer = client.post("/readings?ack=all", json=sent)
    assert answer.status_code == 202
    assert answer.json() == {"accepted": 1, "rejected": 0, "delivered": True, "errors": []}
    assert [one for part in in_kafka(settings, broker).values() for one in part] == [sent]
