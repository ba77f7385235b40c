"""Dead letters: shown, corrected, sent once more, and not twice."""

import json
import subprocess
import sys

import pytest

from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from tests.kafka import new_topic
from tests.running import BEGIN_MS, Site, create_tables, produce_payloads

BAD = {
    "wrong_type": b'{"sensor_id": "a", "value": "7", "timestamp": %d}' % (BEGIN_MS + 2_000),
    "clock_ahead": b'{"sensor_id": "b", "value": 8.0, "timestamp": %d}' % (BEGIN_MS + 86_400_000),
    "bad_json": b'{"sensor_id": "c", "value": 9',
    "not_utf8": b"\xff\xfe\xfd",
}


@pytest.fixture
def site(broker: Broker, clickhouse: EmbeddedClickHouse, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A topic with a good reading and one of each bad kind, read to its end."""
    topic = new_topic(broker)
    site = Site(
        home=tmp_path_factory.mktemp("letters") / "home",
        bootstrap=broker.bootstrap,
        topic=topic,
        clickhouse_port=clickhouse.port,
        database=f"letters_{topic[-8:]}",
    )
    create_tables(site)
    good = b'{"sensor_id": "a", "value": 1.0, "timestamp": %d}' % BEGIN_MS
    produce_payloads(broker.bootstrap, topic, [good, *BAD.values()], kafka_ms=BEGIN_MS)
    site.run_to_end()
    assert {row["reason"] for row in site.stored("dead_letters")} == set(BAD)
    return site


def deadletters(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`streamgauge deadletters ...`"""
    argv = [sys.executable, "-m", "flows.cli", "--config", str(site.home / "empty.toml"), "deadletters", *arguments]
    done = subprocess.run(argv, env=site.whole_environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_what_is_accepted_now_is_sent_once(site: Site) -> None:
    """A stamp that was ahead of its message is none any more; the others are as wrong as they were."""
    shown = deadletters(site, "list").stdout
    assert all(reason in shown for reason in BAD)
    assert "9" in deadletters(site, "show", "--reason", "bad_json").stdout
    tried = deadletters(site, "redrive", "--dry-run")
    assert "1 would be sent" in tried.stdout
    assert tried.stderr.count("not accepted") == 3
    assert "0 sent" in deadletters(site, "redrive", "--reason", "wrong_type").stdout
    assert "1 sent" in deadletters(site, "redrive").stdout
    assert "0 sent" in deadletters(site, "redrive").stdout
    site.run_to_end()
    assert {(row["sensor_id"], row["value"]) for row in site.stored("readings")} == {("a", 1.0), ("b", 8.0)}
    assert len(site.stored("dead_letters")) == len(BAD), "they stay where they were"


def test_corrected_payloads_are_sent_once(site: Site) -> None:
    file = site.home / "letters.jsonl"
    assert "4 in" in deadletters(site, "export", str(file)).stdout
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    corrected = {
        "wrong_type": BAD["wrong_type"].replace(b'"7"', b"7.0").decode(),
        "bad_json": BAD["bad_json"].decode() + ".5, " + f'"timestamp": {BEGIN_MS + 3_000}}}',
    }
    for line in lines:
        line["payload"] = corrected.get(line["reason"], line["payload"])
    file.write_text("".join(json.dumps(line) + "\n" for line in lines if line["reason"] in corrected))
    assert "2 would be sent" in deadletters(site, "redrive", str(file), "--dry-run").stdout
    assert "2 sent" in deadletters(site, "redrive", str(file)).stdout
    again = deadletters(site, "redrive", str(file))
    assert "0 sent" in again.stdout
    assert "2 lines are left out: sent before" in again.stderr
    site.run_to_end()
    found = {(row["sensor_id"], row["value"]) for row in site.stored("readings")}
    assert found == {("a", 1.0), ("a", 7.0), ("c", 9.5)}
