"""Avro, Protobuf and JSON Schema from the command line to the tables; what `check` says of registry and edges."""

from datetime import UTC, timedelta
from pathlib import Path

import pytest

from flows.configuration import sources
from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from tests.flows.commands import streamgauge
from tests.infra.notify_support import Hook, Post, serving
from tests.kafka import new_topic
from tests.operators import schemas as made
from tests.operators.payloads import NOW_MS
from tests.registry import FakeRegistry
from tests.running import Site, create_tables, produce_payloads


@pytest.fixture
def site(tmp_path: Path, broker: Broker, clickhouse: EmbeddedClickHouse, database: str) -> Site:
    return Site(
        home=tmp_path,
        bootstrap=broker.bootstrap,
        topic=new_topic(broker),
        clickhouse_port=clickhouse.port,
        database=database,
    )


def test_simulated_with_a_schema_stored_once_and_checked(site: Site) -> None:
    create_tables(site)
    with FakeRegistry() as registry:
        env = site.environment | {"STREAMGAUGE_SCHEMAS__URL": registry.url}
        words = ("--history", "1m", "--seconds", "0", "--rate", "10", "--format", "protobuf", "--sensors", "4")
        sent = streamgauge("simulate", *words, env=env)
        assert sent.returncode == 0, sent.stderr
        count = int(sent.stdout.split()[0])
        produce_payloads(site.bootstrap, site.topic, [made.framed(1, b"\xff"), made.framed(99, b"")], kafka_ms=NOW_MS)
        site.run_to_end(SCHEMAS__URL=registry.url)
        stored = site.stored("readings")
        assert len(stored) == count > 500
        refused = {row["reason"]: row["payload"] for row in site.stored("dead_letters")}
        assert refused == {"schema_mismatch": "\0\0\0\0\1\\xff", "unknown_schema": "\0\0\0\0c"}
        first = min(row["time"] for row in stored).replace(tzinfo=UTC)
        span = ("--from", first.isoformat(), "--to", (first + timedelta(seconds=20)).isoformat())
        again = streamgauge("rebuild", "--source", "kafka", "--dry-run", *span, env=env)
        assert again.returncode == 0, again.stderr
        assert f"{count:,} readings computed" in again.stdout, "read from the topic once more, by its schemas"
        checked = streamgauge("check", env=env).stdout
        assert f"ok    schema registry at {registry.url}: 1 subjects\n" in checked
        found = "sensor_id, value, timestamp, sensor_type, location, unit, asset_id, seq, label"
        assert f"ok    schema {site.topic}-value: PROTOBUF, version 1, id 1: {found}\n" in checked
        registry.add(made.avro_text(made.record(sensor="string", value="double")), f"{site.topic}-value")
        checked = streamgauge("check", env=env).stdout
        assert f"wrong schema {site.topic}-value: has no sensor_id, timestamp: [schemas.fields] can say" in checked


def test_check_tries_listener_and_channels_and_tells_nobody(site: Site, tmp_path: Path) -> None:
    create_tables(site)
    with serving(Hook()) as hook, serving(Post()) as post:
        secret = tmp_path / "chat"
        secret.write_text("slak://T0K3N")
        file = tmp_path / "check.toml"
        file.write_text(
            f'[http]\nlisten = "127.0.0.1:{hook.server_address[1]}"\n[notify]\n'
            f'channels = [\n{{ name = "hook", url = "{hook.url}" }},\n'
            f'{{ name = "post", host = "127.0.0.1", port = {post.port}, security = "none", sender = "a@x", '
            'recipients = ["b@x"] },\n{ name = "floor", topic = "alerts/{sensor_id}" },\n'
            f'{{ name = "chat", apprise_file = "{secret}" }},\n'
            f'{{ name = "good", apprise = "json://127.0.0.1:{hook.server_address[1]}/" }} ]\n'
            '[mqtt]\nurl = "mqtt://127.0.0.1:1"\n'
        )
        checked = streamgauge("--config", file, "check", env=site.environment)
        lines = [line for line in checked.stdout.splitlines() if "channel" in line or "HTTP" in line]
        assert lines[0].endswith("HTTP, without keys; something listens there already, the service if it runs")
        assert lines[1].startswith("ok    channel hook: 127.0.0.1:")
        assert lines[2].startswith("ok    channel post: SMTP at 127.0.0.1:")
        assert lines[3].startswith("wrong channel floor: the MQTT broker at mqtt://127.0.0.1:1 does not answer")
        assert lines[4].startswith("wrong channel chat: channel 'chat': apprise does not understand its address")
        assert lines[5].startswith("ok    channel good: JSON")
        assert "T0K3N" not in checked.stdout + checked.stderr
        assert not hook.posts
        assert not post.mails
        assert streamgauge("--config", file, "alerts", "test", "good", env=site.environment).stdout == "told good\n"
        assert b"a test of this channel" in hook.posts[0][1]
        assert "T0K3N" not in str(sources(file, {}))
        file.write_text('[notify]\nchannels = [{ name = "chat", apprise = "json://x", title = "$nothing" }]\n')
        wrong = streamgauge("--config", file, "notify", env=site.environment)
        assert "channel 'chat': title: there is no $nothing; there are alert_id" in wrong.stderr
        assert wrong.stderr.count("\n") == 1
