"""MQTT into Kafka while Kafka is cut twice and the bridge is killed: every reading arrives, repeats are recognised.

MQTT_TEST_READINGS=100000 runs it with so many readings instead of a few thousand.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.kafka.admin import group_lag
from operators.records import Reading
from tests.flows.commands import started
from tests.kafka import connection, eventually, new_topic, read
from tests.mqtt import MOSQUITTO, any_broker, publish
from tests.recovery.proxy import Proxy, Weather
from tests.running import BEGIN_MS, Site, create_tables

READINGS = int(os.environ.get("MQTT_TEST_READINGS", "5000"))
SENSORS = READINGS // 100
STAGES = 5
PARTITIONS = 4
PATIENCE_S = 60 + READINGS / 500


def messages(stage: int) -> Iterator[tuple[str, bytes]]:
    """A fifth of the readings, each sensor's once a second; the topic says whose they are."""
    size = READINGS // STAGES
    for n in range(stage * size, (stage + 1) * size):
        yield f"s{n % SENSORS}", b'{"value":%d,"timestamp":%d}' % (n, BEGIN_MS + n // SENSORS * 1000)


class Bridge:
    """`streamgauge ingest mqtt` between a broker and Kafka behind a proxy."""

    def __init__(self, home: Path, mqtt_url: str, kafka_port: int, topic: str) -> None:
        self._log = home / "bridge.log"
        self._begun = 0
        self._env = {
            "STREAMGAUGE_DATA_DIR": str(home),
            "STREAMGAUGE_KAFKA__BOOTSTRAP": f"127.0.0.1:{kafka_port}",
            "STREAMGAUGE_KAFKA__TOPICS": topic,
            "STREAMGAUGE_MQTT__URL": mqtt_url,
            "STREAMGAUGE_MQTT__PROTOCOL": "auto" if MOSQUITTO else "3.1.1",
            "STREAMGAUGE_MQTT__RECEIVE_MAXIMUM": str(READINGS // 20),
        }
        self.start()

    def start(self) -> None:
        """Also again, after it was killed."""
        self.process = started("ingest", "mqtt", env=self._env, log=self._log)
        self._begun += 1
        self.says("connected to mqtt://", times=self._begun)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def says(self, text: str, times: int = 1) -> None:
        eventually(lambda: self.log.count(text) >= times or self.process.returncode is not None, within_s=60)
        assert self.log.count(text) >= times, self.log


def test_every_reading_arrives_through_cuts_and_a_kill(
    broker: Broker, clickhouse: EmbeddedClickHouse, tmp_path: Path
) -> None:
    topic = new_topic(broker, partitions=PARTITIONS)

    def in_kafka() -> int:
        return sum(lag.high for lag in group_lag(connection(broker), "nobody", [topic]))

    def waits_for(count: int) -> None:
        assert eventually(lambda: in_kafka() >= count, within_s=PATIENCE_S), f"{in_kafka()} of {count}\n{bridge.log}"

    share = READINGS // STAGES
    kafka_port = int(broker.bootstrap.rpartition(":")[2])
    with any_broker(tmp_path) as mqtt, Proxy(kafka_port, kafka=True) as proxy:
        bridge = Bridge(tmp_path, mqtt.url, proxy.port, topic)
        try:
            publish(mqtt.url, messages(0))
            waits_for(share)

            _cut(proxy, bridge, times=1, meanwhile=lambda: publish(mqtt.url, messages(1)))
            waits_for(2 * share)

            # What Kafka has taken but the bridge does not know of comes twice.
            proxy.set(Weather(unanswered=True))
            publish(mqtt.url, messages(2))
            waits_for(2 * share + 1)
            bridge.process.kill()
            proxy.cut()
            proxy.set(Weather())
            bridge.start()
            waits_for(3 * share)

            _cut(
                proxy,
                bridge,
                times=1 + bridge.log.count("Kafka does not answer"),
                meanwhile=lambda: publish(mqtt.url, messages(3)),
            )
            publish(mqtt.url, messages(4))
            assert eventually(lambda: len(_values(broker, topic)[1]) == READINGS, within_s=PATIENCE_S, every_s=0.5)
            assert bridge.process.stop() == 0, bridge.log
        finally:
            bridge.process.stop()
    total, values = _values(broker, topic)
    assert values == set(range(READINGS))
    assert total > READINGS, "some were sent again"
    assert "Traceback" not in bridge.log
    assert "broker sends them again" not in bridge.log
    _through_the_flow(broker, clickhouse, tmp_path, topic, total)
    print(f"{READINGS:,} readings, {total - READINGS:,} of them twice")


def _cut(proxy: Proxy, bridge: Bridge, *, times: int, meanwhile: Callable[[], None]) -> None:
    proxy.set(Weather(refuses=True))
    meanwhile()
    bridge.says("Kafka does not answer", times=times)
    proxy.set(Weather())
    bridge.says("Kafka is back", times=times)


def _values(broker: Broker, topic: str) -> tuple[int, set[int]]:
    """How many messages there are, and the values in them; each keyed by its sensor."""
    total, values = 0, set()
    for partition in range(PARTITIONS):
        for message in read(broker.bootstrap, topic, partition=partition):
            reading = msgspec.json.decode(message.value() or b"", type=Reading)
            assert message.key() == reading.sensor_id.encode()
            values.add(int(reading.value))
            total += 1
    return total, values


def _through_the_flow(broker: Broker, clickhouse: EmbeddedClickHouse, home: Path, topic: str, total: int) -> None:
    """Every reading in ClickHouse once; the repeats are counted as what they are."""
    site = Site(
        home=home / "flow",
        bootstrap=broker.bootstrap,
        topic=topic,
        clickhouse_port=clickhouse.port,
        database=f"mqtt_{topic[-8:]}",
    )
    create_tables(site)
    site.run_to_end()
    with site.asking() as ask:
        assert int(ask("SELECT uniqExact(value) FROM readings_final")) == READINGS
        assert int(ask("SELECT count() FROM readings_final")) == READINGS
        assert int(ask("SELECT sum(duplicates) FROM ledger_final")) == total - READINGS
        assert int(ask("SELECT count() FROM readings_final WHERE quality != 'ok'")) == 0
