"""Keys: who may, how much; and where none are needed."""

import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from flows.configuration import load
from flows.settings import SettingsError
from flows.settings_edges import HttpKey
from infra.embedded.broker import Broker
from infra.http.keys import Bucket, new_key
from tests.flows.commands import streamgauge
from tests.infra.http_service import NDJSON, ndjson, reading, serving, settings_for

WRITER, READER, SLOW = new_key(), new_key(), new_key()
KEYS = {
    "writer": HttpKey(sha256=WRITER.sha256),
    "reader": HttpKey(sha256=READER.sha256, roles=("read",)),
    "slow": HttpKey(sha256=SLOW.sha256, rate=10.0),
}


def test_only_known_keys_with_the_role_get_in(broker: Broker) -> None:
    with serving(settings_for(broker, keys=KEYS)) as client:
        for headers, status in (
            ({}, 401),
            ({"authorization": "Bearer sg_wrong"}, 401),
            ({"authorization": f"Basic {WRITER.key}"}, 401),
            ({"x-api-key": READER.key}, 403),
            ({"x-api-key": WRITER.key}, 202),
            ({"authorization": f"Bearer {WRITER.key}"}, 202),
        ):
            answer = client.post("/readings", json=reading(), headers=headers)
            assert answer.status_code == status, headers
            if status == 401:
                assert answer.headers["www-authenticate"].startswith("Bearer")
        assert client.get("/metrics", headers={"x-api-key": WRITER.key}).status_code == 403
        assert client.get("/metrics", headers={"x-api-key": READER.key}).status_code == 200
        assert client.get("/api/readings").status_code == 401
        assert client.get("/health/live").status_code == 200, "probes have no key"


def test_a_key_has_a_rate_and_is_told_when_to_come_again(broker: Broker) -> None:
    with serving(settings_for(broker, keys=KEYS)) as client:
        many = ndjson([reading(value=float(i)) for i in range(50)])
        headers = {**NDJSON, "x-api-key": SLOW.key}
        assert client.post("/readings", content=many, headers=headers).status_code == 202
        refused = client.post("/readings", content=many, headers=headers)
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 5
        other = client.post("/readings", json=reading(), headers={"x-api-key": WRITER.key})
        assert other.status_code == 202, "another key's rate is its own"


def test_the_bucket_lets_its_rate_through() -> None:
    now_s = 0.0
    bucket = Bucket(10.0, clock=lambda: now_s)
    bucket.take(20)
    assert bucket.wait_s() == 0.0
    now_s = 0.1
    assert bucket.wait_s() == 0.0, "a reading's worth has come back"
    bucket.take(51)
    assert bucket.wait_s() == pytest.approx(5.0)
    now_s = 6.0
    assert bucket.wait_s() == 0.0


def test_off_loopback_nothing_starts_without_keys(broker: Broker) -> None:
    with pytest.raises(SettingsError, match="there are no keys"), serving(settings_for(broker, listen="0.0.0.0:0")):
        pass
    with serving(settings_for(broker, listen="0.0.0.0:0", keys=KEYS)):
        pass


def test_without_keys_only_requests_to_this_machine_by_its_own_names_are_served(broker: Broker) -> None:
    with serving(settings_for(broker)) as client:
        answer = client.post("/readings", json=reading(), headers={"host": "rebound.example:8080"})
        assert answer.status_code == 403
        assert client.post("/readings", json=reading(), headers={"host": "localhost:1"}).status_code == 202


def test_the_command_makes_a_line_for_the_file_and_shows_the_key_once(tmp_path: Path) -> None:
    made = streamgauge("ingest", "key", "gateway 7", "--role", "read", "--rate", "2.5")
    assert made.returncode == 0, made.stderr
    key = next(word for word in made.stdout.split() if word.startswith("sg_"))
    line = next(line for line in made.stdout.splitlines() if "sha256" in line)
    assert key not in line
    file = tmp_path / "streamgauge.toml"
    file.write_text(f"[http.keys]\n{line.strip()}\n")
    (name, kept), *_ = load(file, {}).http.keys.items()
    assert (name, kept.roles, kept.rate) == ("gateway 7", ("read",), 2.5)


def test_https(broker: Broker, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", key, "-out", cert, "-days", "1", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    settings = settings_for(broker, cert_file=str(cert), key_file=str(key))
    with serving(settings) as client:
        trusting = ssl.create_default_context(cafile=str(cert))
        assert client.base_url.scheme == "https"
        answer = httpx.post(f"{client.base_url}/readings", json=reading(), verify=trusting)
        assert answer.status_code == 202


def test_a_certificate_that_cannot_be_read_is_told_in_a_line(broker: Broker, tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("nothing")
    bad = str(tmp_path / "bad.pem")
    for cert, key, why in (
        (bad, bad, "cert_file"),
        (bad, "", "needs both"),
        (str(tmp_path / "none.pem"), bad, "No such file"),
    ):
        settings = settings_for(broker, cert_file=cert, key_file=key)
        with pytest.raises(SettingsError, match=why), serving(settings):
            pass


def test_an_address_that_is_taken_is_told_in_a_line(broker: Broker) -> None:
    with serving(settings_for(broker)) as client:
        port = client.base_url.port
        with (
            pytest.raises(SettingsError, match="name another address"),
            serving(settings_for(broker, listen=f"127.0.0.1:{port}")),
        ):
            pass
