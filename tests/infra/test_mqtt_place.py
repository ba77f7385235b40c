"""Where an MQTT broker is: mistakes are told in a line, secrets are not shown."""

import subprocess
from pathlib import Path

import pytest

from infra.mqtt.errors import MqttFailure
from infra.mqtt.place import Place
from tests.certificates import Authority


def test_ports_are_the_usual_ones_when_left_out() -> None:
    assert (Place(url="mqtt://broker").port, Place(url="mqtts://broker").port) == (1883, 8883)
    assert (Place(url="mqtts://[::1]:99").host, Place(url="mqtts://[::1]:99").port) == ("::1", 99)


@pytest.mark.parametrize(
    "url", ["broker:1883", "http://broker", "mqtt://", "mqtt://b:0", "mqtt://b:x", "mqtt://b/topic", "mqtt://b?x=1"]
)
def test_what_is_no_url_is_told(url: str) -> None:
    with pytest.raises(MqttFailure, match=r"mqtt\.url = '.*': expected mqtt://host:port"):
        Place(url=url)


def test_a_login_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(MqttFailure, match="STREAMGAUGE_MQTT__PASSWORD") as caught:
        Place(url="mqtt://me:hunter2@broker")
    assert "hunter2" not in str(caught.value)


def test_secrets_are_not_shown() -> None:
    assert "hunter2" not in repr(Place(username="me", password="hunter2", key_password="hunter2"))
    with pytest.raises(MqttFailure, match=r"mqtt\.password: is given without mqtt\.username"):
        Place(password="hunter2")


def test_files_for_tls_need_tls() -> None:
    with pytest.raises(MqttFailure, match=r"mqtt\.ca_file: is for TLS, and mqtt\.url = 'mqtt://b' is not"):
        _ = Place(url="mqtt://b", ca_file="ca.pem").tls
    assert Place(url="mqtt://b").tls is None


def test_files_that_are_missing_or_wrong_are_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("bridge")
    _, other = authority.issue("other")
    with pytest.raises(MqttFailure, match=r"mqtt\.ca_file = 'none\.pem': No such file"):
        _ = Place(url="mqtts://b", ca_file="none.pem").tls
    with pytest.raises(MqttFailure, match=r"mqtt\.key_file = .*: key values mismatch"):
        _ = Place(url="mqtts://b", cert_file=str(cert), key_file=str(other)).tls
    assert Place(url="mqtts://b", ca_file=str(authority.ca), cert_file=str(cert), key_file=str(key)).tls is not None


def test_a_key_with_a_password_asks_nobody(tmp_path: Path) -> None:
    cert, key = Authority(tmp_path).issue("bridge")
    locked = tmp_path / "locked.pem"
    subprocess.run(
        ["openssl", "ec", "-aes256", "-passout", "pass:hunter2", "-in", str(key), "-out", str(locked)],
        check=True,
        capture_output=True,
    )
    assert Place(url="mqtts://b", cert_file=str(cert), key_file=str(locked), key_password="hunter2").tls is not None
    with pytest.raises(MqttFailure, match=r"mqtt\.key_password when the key has one"):
        _ = Place(url="mqtts://b", cert_file=str(cert), key_file=str(locked)).tls
