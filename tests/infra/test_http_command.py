"""`streamgauge ingest http` as a process."""

import re
from pathlib import Path

import httpx

from infra.embedded.broker import Broker
from tests.flows.commands import started, streamgauge
from tests.infra.http_service import NDJSON, in_kafka, ndjson, reading, settings_for
from tests.kafka import eventually


def test_sigterm_delivers_what_was_taken_in_and_ends_with_0(broker: Broker, tmp_path: Path) -> None:
    settings = settings_for(broker)
    log = tmp_path / "http.log"
    env = {
        "STREAMGAUGE_DATA_DIR": str(tmp_path),
        "STREAMGAUGE_KAFKA__BOOTSTRAP": broker.bootstrap,
        "STREAMGAUGE_KAFKA__TOPICS": f'["{settings.kafka.topics[0]}"]',
    }
    service = started("ingest", "http", "--listen", "127.0.0.1:0", env=env, log=log)
    try:
        assert eventually(lambda: "/readings  ->" in log.read_text()), log.read_text()
        url = re.search(r"http://\S+/readings", log.read_text())
        assert url, log.read_text()
        sent = [reading(f"s-{i % 7}", value=float(i)) for i in range(5_000)]
        for first in range(0, len(sent), 1_000):
            answer = httpx.post(url[0], content=ndjson(sent[first : first + 1_000]), headers=NDJSON)
            assert answer.json()["accepted"] == 1_000
        assert service.stop() == 0, log.read_text()
    finally:
        service.stop()
    found = [one["value"] for part in in_kafka(settings, broker).values() for one in part]
    assert sorted(found) == [one["value"] for one in sent]
    assert "Traceback" not in log.read_text()


def test_it_can_be_stopped_while_it_waits_for_kafka(tmp_path: Path) -> None:
    log = tmp_path / "http.log"
    env = {"STREAMGAUGE_DATA_DIR": str(tmp_path), "STREAMGAUGE_KAFKA__BOOTSTRAP": "127.0.0.1:1"}
    service = started("ingest", "http", "--listen", "127.0.0.1:0", env=env, log=log)
    try:
        assert eventually(lambda: "waiting for it" in log.read_text()), log.read_text()
    finally:
        assert service.stop() == 0, log.read_text()


def test_what_is_wrong_is_a_line() -> None:
    run = streamgauge("ingest", "http", env={"STREAMGAUGE_HTTP__LISTEN": "nowhere"})
    assert run.returncode == 1
    assert run.stderr.startswith("error http.listen: 'nowhere' is no address")
    assert len(run.stderr.strip().splitlines()) == 1, run.stderr
