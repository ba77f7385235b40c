"""`streamgauge notify` beside a real broker: killed, beside a dead mail server, after a real flow."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from paho.mqtt.client import Client, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.embedded.mqtt import EmbeddedMqtt
from infra.embedded.process import ChildProcess
from infra.kafka.admin import create_topic
from infra.kafka.producer import Producer
from infra.notify.message import Change
from tests.flows.commands import ARGV, streamgauge
from tests.infra.notify_support import SECRET, Hook, Post, change, serving
from tests.kafka import connection, eventually, new_topic
from tests.operators.payloads import NOW_MS, reading
from tests.running import Site, create_tables, produce_payloads


@pytest.fixture
def site(tmp_path: Path, broker: Broker, clickhouse: EmbeddedClickHouse, database: str) -> Site:
    topic = new_topic(broker)
    place = Site(
        home=tmp_path, bootstrap=broker.bootstrap, topic=topic, clickhouse_port=clickhouse.port, database=database
    )
    create_topic(connection(broker), f"{topic}-alerts", partitions=2)
    create_tables(place)
    return place


def notifier(site: Site, channels: str, **more: str) -> ChildProcess:
    """Not started yet. channels: as TOML."""
    file = site.home / "notify.toml"
    file.write_text(f'[notify]\nrecord = "{site.home}/notify.sqlite"\nmax_age = "0s"\n{channels}')
    given = {"KAFKA__ALERTS_TOPIC": f"{site.topic}-alerts", "NOTIFY__GROUP": site.topic, **more}
    environment = site.environment | {f"STREAMGAUGE_{name}": text for name, text in given.items()}
    words = [*ARGV, "--config", str(file), "notify"]
    return ChildProcess("notify", words, log=site.home / "notify.log", env=environment, stop_timeout_s=30)


def webhook(hook: Hook, **more: Any) -> str:
    fields = "\n".join(f"{name} = {json.dumps(value)}" for name, value in more.items())
    return f'[[notify.channels]]\nname = "hook"\nurl = "{hook.url}"\nsecret = "{SECRET}"\nper_minute = 1000\n{fields}\n'


def send(site: Site, broker: Broker, *changes: Change) -> None:
    with Producer(connection(broker)) as producer:
        messages = [(one.alert_id.encode(), msgspec.json.encode(one), 0) for one in changes]
        producer.produce_many(f"{site.topic}-alerts", messages)


def test_a_killed_notifier_loses_nothing_and_tells_nothing_again_that_it_knows_was_told(
    site: Site, broker: Broker
) -> None:
    with serving(Hook()) as hook:
        names = [f"s{number}" for number in range(40)]
        send(site, broker, *(change(name) for name in names[:20]))
        with notifier(site, webhook(hook)) as process:
            assert eventually(lambda: len(hook.told) >= 20, within_s=60), process.log.read_text()
            hook.hold.clear()
            send(site, broker, *(change(name) for name in names[20:]))
            process.kill()
        hook.hold.set()
        # The same once more, as a flow that was killed, too, would send it.
        send(site, broker, *(change(name) for name in names))
        with notifier(site, webhook(hook)) as process:
            assert eventually(lambda: {name for name, _ in hook.told} == set(names), within_s=60), (
                process.log.read_text()
            )
            assert process.stop() == 0
        assert len(hook.told) <= 41, "at most the one that was on its way when it was killed"


def test_a_dead_mail_server_holds_up_no_webhook_and_is_told_when_it_is_back(site: Site, broker: Broker) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mail = (
        f'[[notify.channels]]\nname = "mail"\nhost = "127.0.0.1"\nport = {port}\nsecurity = "none"\n'
        'sender = "s@x"\nrecipients = ["a@x"]\n'
    )
    with serving(Hook()) as hook, notifier(site, mail + webhook(hook)) as process:
        send(site, broker, change("a"))
        assert eventually(lambda: hook.told == [("a", "firing")], within_s=60), process.log.read_text()
        assert eventually(lambda: "channel mail" in process.log.read_text())
        with serving(Post(port)) as post:
            assert eventually(lambda: len(post.mails) == 1, within_s=60), process.log.read_text()
            assert eventually(lambda: "channel mail tells again" in process.log.read_text())


def test_from_a_reading_to_the_webhook(site: Site) -> None:
    hot = reading(sensor_id="pump", sensor_type="temperature", value=300.0, timestamp=NOW_MS)
    produce_payloads(site.bootstrap, site.topic, [hot, b"no alert at all"], kafka_ms=NOW_MS)
    site.run_to_end(DETECTORS="[]", KAFKA__ALERTS_TOPIC=f"{site.topic}-alerts")
    with serving(Hook()) as hook, notifier(site, webhook(hook)) as process:
        assert eventually(lambda: len(hook.told) == 1, within_s=60), process.log.read_text()
        ((_, body),) = hook.posts
    (alert,) = json.loads(body)["alerts"]
    (row,) = site.stored("alerts")
    assert alert["annotations"]["alert_id"] == row["alert_id"]
    assert json.loads(alert["annotations"]["evidence"]) == json.loads(row["evidence"])
    assert alert["labels"]["sensor_id"] == "pump"


def test_a_channel_is_tried_out(site: Site) -> None:
    file = site.home / "notify.toml"
    with serving(Hook()) as hook:
        file.write_text(webhook(hook))
        told = streamgauge("--config", file, "alerts", "test", "hook")
        assert (told.returncode, told.stdout) == (0, "told hook\n"), told.stderr
        assert hook.told == [("made-up-sensor", "firing")]
        hook.statuses.append(401)
        refused = streamgauge("--config", file, "alerts", "test", "hook")
        why = "error hook: HTTP status 401 Unauthorized; is the secret the one it knows?\n"
        assert (refused.returncode, refused.stderr) == (1, why)
    assert "there are hook" in streamgauge("--config", file, "alerts", "test", "other").stderr
    nobody = streamgauge("--config", "/dev/null", "notify")
    assert (nobody.returncode, nobody.stderr.count("\n")) == (1, 1)
    assert "nobody is to be told" in nobody.stderr
    file.write_text('[[notify.channels]]\nname = "x"\n')
    wrong = streamgauge("--config", file, "notify")
    assert "give it a url (webhook), a host (e-mail), a topic (MQTT) or apprise's address" in wrong.stderr


def test_over_mqtt_each_sensor_has_its_topic_and_a_retained_state(site: Site, broker: Broker, tmp_path: Path) -> None:
    channel = '[[notify.channels]]\nname = "floor"\ntopic = "alerts/{sensor_id}/notification"\n'
    mqtt = EmbeddedMqtt(log=tmp_path / "mqtt.log")
    mqtt.start()
    try:
        with heard(mqtt, "alerts/+/notification") as told, notifier(site, channel, MQTT__URL=mqtt.url) as process:
            hall = change("hall", sensor_id="", location="hall/2")
            send(site, broker, change("a"), change("b"), change("a", state="resolved"), hall)
            assert eventually(lambda: len(told) == 4, within_s=60), process.log.read_text()
            env = site.environment | {"STREAMGAUGE_MQTT__URL": mqtt.url}
            tried = streamgauge("--config", site.home / "notify.toml", "alerts", "test", "floor", env=env)
            assert (tried.returncode, tried.stdout) == (0, "told floor\n"), tried.stderr
            assert eventually(lambda: len(told) == 5)
            assert told.pop()[0] == "alerts/made-up-sensor/notification"
            assert process.stop() == 0
            assert process.log.read_text().count("connected to") == 1, "the notifier was not disturbed"
        of_each: dict[str, list[str]] = {}  # Kafka has several partitions, whose order is nobody's
        for topic, payload in told:
            of_each.setdefault(topic, []).append(msgspec.json.decode(payload, type=Change).state)
        assert of_each == {
            "alerts/a/notification": ["open", "resolved"],
            "alerts/b/notification": ["open"],
            "alerts/hall_2/notification": ["open"],
        }
        with heard(mqtt, "alerts/+/state/#") as states:
            assert eventually(lambda: len(states) == 3)
        assert dict(states) == {
            "alerts/a/state/anomaly": b"resolved",
            "alerts/b/state/anomaly": b"open",
            "alerts/hall_2/state/anomaly": b"open",
        }
    finally:
        mqtt.stop()


@contextmanager
def heard(mqtt: EmbeddedMqtt, topic: str) -> Iterator[list[tuple[str, bytes]]]:
    """(topic, payload) of what is published there while in the block, and of what is retained."""
    found: list[tuple[str, bytes]] = []
    subscribed = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, client_id="listener", protocol=MQTTv311)
    client.on_message = lambda _, __, message: found.append((message.topic, bytes(message.payload)))
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", mqtt.port)
    client.loop_start()
    client.subscribe(topic, qos=1)
    assert subscribed.wait(10)
    try:
        yield found
    finally:
        client.disconnect()
        client.loop_stop()
