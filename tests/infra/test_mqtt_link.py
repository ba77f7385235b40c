"""A connection to an MQTT broker: MQTT 5 and 3.1.1, refusals told, comes back by itself."""

import logging
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import MQTTMessage

from infra.embedded.mqtt import EmbeddedMqtt
from infra.mqtt.errors import Refused
from infra.mqtt.link import Link
from infra.mqtt.place import Place
from tests.certificates import Authority
from tests.kafka import eventually
from tests.mqtt import Mosquitto, Stub, needs_mosquitto, publish
from tests.recovery.proxy import Proxy, Weather

DATA = "sensors/+/data"


@contextmanager
def linked(place: Place, **given: Any) -> Iterator[Link]:
    """A link that is connected."""
    link = Link(place, **given)
    try:
        assert until(link, lambda: link.connected)
        yield link
    finally:
        link.close()


def until(link: Link, condition: Callable[[], bool], *, within_s: float = 20) -> bool:
    """Serve until it holds."""
    deadline_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        if not link.serve(0.05):
            time.sleep(0.02)
    return True


def topics(seen: list[MQTTMessage]) -> list[str]:
    return [message.topic for message in seen]


@needs_mosquitto
def test_mqtt_5_is_spoken_where_it_is_known(tmp_path: Path) -> None:
    seen: list[MQTTMessage] = []
    with Mosquitto(tmp_path / "m") as broker:
        with linked(Place(url=broker.url), filters=[DATA], on_message=seen.append) as link:
            assert link.version == "5"
            publish(broker.url, [("a", b"1")])
            assert until(link, lambda: bool(seen))
        with linked(Place(url=broker.url, protocol="3.1.1", client_id="old"), filters=[DATA]) as link:
            assert link.version == "3.1.1"


def test_a_broker_that_knows_3_1_1_only_is_spoken_to_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.mqtt.link._ANSWER_S", 1.0)  # for MQTT 5 is not even refused
    seen: list[MQTTMessage] = []
    with (
        EmbeddedMqtt(log=tmp_path / "mqtt.log") as broker,
        linked(Place(url=broker.url), filters=[DATA], on_message=seen.append) as link,
    ):
        assert link.version == "3.1.1"
        publish(broker.url, [("a", b"1")])
        assert until(link, lambda: bool(seen))


@needs_mosquitto
def test_a_wrong_password_is_told_and_not_shown(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("bridge:hunter2\n")
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True)
    with Mosquitto(tmp_path / "m", config=f"password_file {passwords}") as broker:
        for protocol in ("5", "3.1.1"):
            place = Place(url=broker.url, username="bridge", password="hunter1", protocol=protocol)
            with pytest.raises(Refused, match=r"refuses: Not authorized: check mqtt\.username") as caught:
                until(Link(place), lambda: False)
            assert "hunter1" not in str(caught.value)
        with linked(Place(url=broker.url, username="bridge", password="hunter2")):
            pass


@pytest.fixture
def stub() -> Iterator[Callable[..., Stub]]:
    """Makes brokers that say what they are told to."""
    made: list[Stub] = []

    def make(*answers: str) -> Stub:
        made.append(Stub([bytes.fromhex(answer) for answer in answers]))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_subscription_that_is_refused_is_told(stub: Callable[..., Stub]) -> None:
    broker = stub("2003000000", "9004000100 87")  # CONNACK success; SUBACK: not authorized
    with pytest.raises(Refused, match=r"subscription to a/\+ \(Not authorized\): check mqtt\.topics"):
        until(Link(Place(url=broker.url), filters=["a/+"]), lambda: False)


def test_another_client_of_the_same_name_is_told(stub: Callable[..., Stub], caplog: pytest.LogCaptureFixture) -> None:
    broker = stub("2003000000", "9004000100 01 e002 8e00")  # and DISCONNECT: session taken over
    link = Link(Place(url=broker.url, client_id="twin"), filters=["a"])
    assert until(link, lambda: "as twin: give each bridge a client_id of its own" in caplog.text)
    link.close()


def test_a_broker_that_never_answers_is_tried_with_the_older_version(
    stub: Callable[..., Stub], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("infra.mqtt.link._ANSWER_S", 0.1)
    caplog.set_level(logging.INFO)
    link = Link(Place(url=stub("", "").url))
    assert until(link, lambda: "said nothing after CONNECT: trying MQTT 3.1.1" in caplog.text)
    assert until(link, lambda: "said nothing after CONNECT, MQTT 3.1.1: check client_id" in caplog.text)
    link.close()


def test_a_connection_that_is_lost_while_acknowledging_is_made_again(stub: Callable[..., Stub]) -> None:
    broker = stub("2003000000", "9004000100 01", "")  # hangs up after the next packet
    begun: list[bool] = []
    link = Link(Place(url=broker.url), filters=["a"], on_connected=begun.append)
    assert until(link, lambda: link.connected)
    client = link.client
    assert client is not None

    def lost() -> bool:
        link.acknowledge([1])
        return client.socket() is None

    assert eventually(lost)
    assert until(link, lambda: len(begun) == 2 and link.connected)
    link.close()


def test_subscriptions_are_asked_for_one_by_one(stub: Callable[..., Stub]) -> None:
    broker = stub("2003000000", "9004000100 01 9004000200 01")
    link = Link(Place(url=broker.url), filters=["a", "b"])
    assert until(link, lambda: link.connected)
    link.close()


def test_a_broker_that_is_busy_is_asked_again(stub: Callable[..., Stub], caplog: pytest.LogCaptureFixture) -> None:
    link = Link(Place(url=stub("2003008900").url))
    assert until(link, lambda: "does not answer: Server busy; trying again" in caplog.text)
    link.close()


def test_a_session_that_is_kept_shorter_than_asked_for_is_told(
    stub: Callable[..., Stub], caplog: pytest.LogCaptureFixture
) -> None:
    broker = stub("2008000005 1100000e10")  # CONNACK with a session expiry of an hour
    with linked(Place(url=broker.url), session_expiry_s=86_400):
        assert "keeps messages for 3600 s while we are away, not for mqtt.session_expiry = 86400 s" in caplog.text


class Tls:
    """A Mosquitto that wants certificates, and who may vouch for whom."""

    def __init__(self, home: Path, *, expired: bool = False) -> None:
        self.authority, self.stranger = Authority(home / "ca"), Authority(home / "stranger", name="stranger")
        cert, key = self.authority.issue("broker", expired=expired)
        self.cert, self.key = self.authority.issue("bridge")
        files = f"cafile {self.authority.ca}\ncertfile {cert}\nkeyfile {key}\nrequire_certificate true"
        self.broker = Mosquitto(home / "m", listener=files)
        self.url = f"mqtts://127.0.0.1:{self.broker.port}"

    def place(self, **given: Any) -> Place:
        own = {"ca_file": str(self.authority.ca), "cert_file": str(self.cert), "key_file": str(self.key)}
        return Place(url=self.url, **(own | given))


@needs_mosquitto
def test_certificates_open_the_door(tmp_path: Path) -> None:
    tls = Tls(tmp_path)
    with tls.broker, linked(tls.place(), filters=[DATA]) as link:
        assert link.version == "5"


@needs_mosquitto
def test_certificates_that_are_wrong_are_told(tmp_path: Path) -> None:
    tls = Tls(tmp_path)
    with tls.broker:
        with pytest.raises(Refused, match="TLS: certificate verify failed"):
            until(Link(tls.place(ca_file=str(tls.stranger.ca))), lambda: False)
        with pytest.raises(Refused, match=r"TLS: .*certificate required"):
            until(Link(tls.place(cert_file="", key_file="")), lambda: False)
        cert, key = tls.stranger.issue("bridge")
        with pytest.raises(Refused, match=r"TLS: .*unknown ca"):
            until(Link(tls.place(cert_file=str(cert), key_file=str(key))), lambda: False)
        cert, key = tls.authority.issue("late", expired=True)
        with pytest.raises(Refused, match=r"TLS: .*certificate expired"):
            until(Link(tls.place(cert_file=str(cert), key_file=str(key))), lambda: False)


@needs_mosquitto
def test_an_expired_certificate_of_the_broker_is_told(tmp_path: Path) -> None:
    tls = Tls(tmp_path, expired=True)
    with tls.broker, pytest.raises(Refused, match="TLS: certificate verify failed: certificate has expired"):
        until(Link(tls.place()), lambda: False)


@needs_mosquitto
def test_it_comes_back_and_subscribes_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[MQTTMessage] = []
    sessions: list[bool] = []
    broker = Mosquitto(tmp_path / "m", config="allow_anonymous true\nautosave_interval 1")
    with (
        broker,
        linked(Place(url=broker.url), filters=[DATA], on_message=seen.append, on_connected=sessions.append) as link,
    ):
        broker.kill()  # and with it the session
        assert until(link, lambda: not link.connected)
        broker.start()
        assert until(link, lambda: link.connected)
        publish(broker.url, [("a", b"1")])
        assert until(link, lambda: topics(seen) == ["sensors/a/data"])
    assert len(sessions) == 2
    said = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 2, said
    assert "does not answer" in said[0]
    assert "is back after" in said[1]


def test_a_connection_that_is_silent_is_given_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with EmbeddedMqtt(log=tmp_path / "mqtt.log") as broker, Proxy(broker.port) as proxy:
        place = Place(url=f"mqtt://127.0.0.1:{proxy.port}", protocol="3.1.1", keepalive_s=1)
        with linked(place, filters=[DATA]) as link:
            proxy.set(Weather(silent=True))
            assert until(link, lambda: not link.connected)
            proxy.cut()
            proxy.set(Weather())
            assert until(link, lambda: link.connected)
    assert "the connection was lost" in caplog.text


def test_a_broker_that_is_away_at_the_start_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broker = EmbeddedMqtt(log=tmp_path / "mqtt.log")
    with broker:
        pass
    link = Link(Place(url=broker.url, protocol="3.1.1"))
    assert until(link, lambda: bool(caplog.records))
    with broker:
        assert until(link, lambda: link.connected)
        link.close()
    assert "does not answer: Connection refused; trying again" in caplog.text


@needs_mosquitto
def test_others_are_told_whether_it_is_there(tmp_path: Path) -> None:
    states: list[bytes] = []
    with Mosquitto(tmp_path / "m") as broker:
        watching = Link(
            Place(url=broker.url, client_id="watch"),
            filters=["bridge/state"],
            on_message=lambda message: states.append(bytes(message.payload)),
        )
        place = Place(url=broker.url)
        with linked(place, status_topic="bridge/state"):
            assert until(watching, lambda: states == [b"online"])
        assert until(watching, lambda: states == [b"online", b"offline"])
        gone = Link(place, status_topic="bridge/state")
        assert until(gone, lambda: gone.connected)
        assert until(watching, lambda: len(states) == 3)
        client = gone.client
        assert client is not None
        socket: Any = client.socket()
        socket.close()  # without a good-bye, as kill -9 does
        assert until(watching, lambda: states[2:] == [b"online", b"offline"])
        watching.close()


@needs_mosquitto
def test_two_of_one_name_are_suspected_where_the_broker_does_not_say(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Mosquitto(tmp_path / "m") as broker:
        place = Place(url=broker.url, client_id="twin")
        with linked(place, filters=[DATA]) as one, linked(place, filters=[DATA]):
            assert until(one, lambda: not one.connected)
    assert "does another client call itself twin, too?" in caplog.text
