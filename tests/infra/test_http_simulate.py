"""The simulator over HTTP."""

import httpx
import pytest

from flows.settings_edges import HttpKey
from infra.embedded.broker import Broker
from infra.http.keys import new_key
from infra.simulate.config import SimulationConfig
from infra.simulate.over_http import HttpProducer, NotTakenIn
from infra.simulate.runner import history, wall_clock_ms
from infra.simulate.simulation import Simulation
from tests.infra.http_service import in_kafka, serving, settings_for
from tests.kafka import eventually

KEY = new_key()


def url_of(client: httpx.Client) -> str:
    return str(client.base_url).rstrip("/")


def test_every_simulated_message_is_taken_in_or_refused(broker: Broker) -> None:
    settings = settings_for(broker, keys={"gateway": HttpKey(sha256=KEY.sha256)})
    simulation = Simulation(SimulationConfig(sensors=10, rate=50.0, bad_share=0.05, seed=3))
    now_ms = wall_clock_ms()
    with serving(settings) as client, HttpProducer(url_of(client), key=KEY.key) as producer:
        sent = history(simulation, producer, topic="", from_ms=now_ms - 60_000, to_ms=now_ms)
        stored = sum(map(len, in_kafka(settings, broker).values()))
    assert sent > 2_500
    assert producer.refused > 0
    assert stored + producer.refused == sent


def test_a_wrong_key_and_a_wrong_url_are_told(broker: Broker) -> None:
    with serving(settings_for(broker, keys={"gateway": HttpKey(sha256=KEY.sha256)})) as client:
        producer = HttpProducer(url_of(client), key="sg_wrong")
        with pytest.raises(NotTakenIn, match="no API key that is known"):
            producer.produce_many("", [(b"a", b"{}", 0)])
        producer.close()
    with pytest.raises(NotTakenIn, match="expected http"):
        HttpProducer("ftp://127.0.0.1/readings")


def test_it_waits_where_it_is_asked_to(broker: Broker) -> None:
    settings = settings_for(broker, keys={"slow": HttpKey(sha256=KEY.sha256, rate=20.0)})
    with serving(settings) as client, HttpProducer(url_of(client), key=KEY.key) as producer:
        now_ms = wall_clock_ms()
        readings = [(b"a", b'{"sensor_id":"a","value":1,"timestamp":%d}' % (now_ms - i), 0) for i in range(50)]
        producer.produce_many("", readings)
        producer.produce_many("", readings[:5])
        assert eventually(lambda: sum(map(len, in_kafka(settings, broker).values())) == 55)
