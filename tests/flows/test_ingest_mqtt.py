"""`streamgauge ingest mqtt` as a user meets it: mistakes in one line, an end in good order, /health and /metrics."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from flows.configuration import load
from flows.ingest_mqtt import bridge_until
from flows.settings import SettingsError
from infra.embedded.broker import Broker
from infra.embedded.mqtt import EmbeddedMqtt
from infra.mqtt.errors import MqttFailure
from tests.flows.commands import started, streamgauge
from tests.kafka import connection, eventually, new_topic, read
from tests.mqtt import MOSQUITTO, Mosquitto, any_broker, free_port, publish

INGEST = ("ingest", "mqtt")


@pytest.fixture
def mqtt(tmp_path: Path) -> Iterator[Mosquitto | EmbeddedMqtt]:
    with any_broker(tmp_path) as running:
        yield running


def environment(home: Path, broker: Broker, topic: str, url: str) -> dict[str, str]:
    return {
        "STREAMGAUGE_DATA_DIR": str(home),
        "STREAMGAUGE_KAFKA__BOOTSTRAP": connection(broker).bootstrap,
        "STREAMGAUGE_KAFKA__TOPICS": topic,
        "STREAMGAUGE_MQTT__URL": url,
        "STREAMGAUGE_MQTT__PROTOCOL": "auto" if MOSQUITTO else "3.1.1",
    }


def test_messages_pass_and_sigterm_is_the_end(tmp_path: Path, broker: Broker, mqtt: Mosquitto | EmbeddedMqtt) -> None:
    topic, port, log = new_topic(broker), free_port(), tmp_path / "bridge.log"
    env = environment(tmp_path, broker, topic, mqtt.url) | {"STREAMGAUGE_OBSERVE__LISTEN": f"127.0.0.1:{port}"}
    bridge = started(*INGEST, env=env, log=log)
    try:
        assert eventually(lambda: ready(port)), log.read_text()
        publish(mqtt.url, [("pump-7", b'{"value":21.5,"timestamp":1}'), ("pump-7", b"hello")])
        assert eventually(lambda: b"streamgauge_mqtt_acknowledged_total 2.0" in page(port, "metrics")), log.read_text()
        assert b'streamgauge_mqtt_unfit_total{reason="not_json"} 1.0' in page(port, "metrics")
        mqtt.stop()
        assert eventually(lambda: not ready(port))
    finally:
        assert bridge.stop() == 0, log.read_text()
    messages = read(broker.bootstrap, topic)
    assert [(one.key(), one.value()) for one in messages] == [
        (b"pump-7", b'{"value":21.5,"timestamp":1,"sensor_id":"pump-7"}'),
        (b"pump-7", b"hello"),
    ]
    assert "Traceback" not in log.read_text()


def ready(port: int) -> bool:
    with suppress(OSError):
        return bool(json.loads(page(port, "health/ready"))["status"] == "ok")
    return False


def page(port: int, name: str) -> bytes:
    try:
        with urlopen(f"http://127.0.0.1:{port}/{name}", timeout=5) as answer:
            return bytes(answer.read())
    except HTTPError as error:
        return error.read()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("URL", "broker:1883", "mqtt.url = 'broker:1883': expected mqtt://host:port"),
        ("TEMPLATE", "sensors/{sensor}", "mqtt.template = 'sensors/{sensor}': {sensor}: no such field"),
        ("TOPICS", '["a/#/b"]', "mqtt.topics: 'a/#/b' is no topic filter"),
        ("CA_FILE", "ca.pem", "mqtt.ca_file: is for TLS"),
        ("GROUP", "a/b", "mqtt.group = 'a/b'"),
        ("RECEIVE_MAXIMUM", "0", "mqtt.receive_maximum = 0"),
    ],
)
def test_a_mistake_is_told_before_anything_is_waited_for(name: str, value: str, says: str) -> None:
    with pytest.raises((MqttFailure, SettingsError), match=re.escape(says)):
        bridge_until(load(Path(os.devnull), {f"STREAMGAUGE_MQTT__{name}": value}), Event())


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    run = streamgauge(*INGEST, env={"STREAMGAUGE_DATA_DIR": str(tmp_path), "STREAMGAUGE_MQTT__URL": "broker:1883"})
    assert run.returncode == 1
    assert run.stderr == "error mqtt.url = 'broker:1883': expected mqtt://host:port, or mqtts://host:port for TLS\n"


def test_check_tries_the_broker_out(tmp_path: Path, broker: Broker, mqtt: Mosquitto | EmbeddedMqtt) -> None:
    env = environment(tmp_path, broker, new_topic(broker), mqtt.url)
    checked = streamgauge("check", env=env).stdout
    assert re.search(rf"^ok +MQTT broker at {mqtt.url}: MQTT [\d.]+; .* sensors/\+/data$", checked, re.MULTILINE), (
        checked
    )
    mqtt.stop()
    checked = streamgauge("check", env=env).stdout
    assert f"wrong MQTT broker at {mqtt.url}: the MQTT broker at {mqtt.url} does not answer" in checked


def test_a_password_is_not_shown(tmp_path: Path) -> None:
    env = {"STREAMGAUGE_MQTT__PASSWORD": "hunter2", "STREAMGAUGE_MQTT__KEY_PASSWORD": "hunter3"}
    shown = streamgauge("explain", env=env | {"STREAMGAUGE_DATA_DIR": str(tmp_path)})
    assert "mqtt.password" in shown.stdout
    assert "hunter" not in shown.stdout + shown.stderr


def test_sigterm_ends_the_waiting_for_kafka(tmp_path: Path, broker: Broker) -> None:
    log = tmp_path / "bridge.log"
    env = environment(tmp_path, broker, "any", "mqtt://127.0.0.1:1")
    env["STREAMGAUGE_KAFKA__BOOTSTRAP"] = f"127.0.0.1:{free_port()}"
    bridge = started(*INGEST, env=env, log=log)
    assert eventually(lambda: "Kafka does not answer" in log.read_text()), log.read_text()
    assert bridge.stop() == 0, log.read_text()
