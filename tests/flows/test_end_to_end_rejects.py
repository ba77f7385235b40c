"""Bad input of every kind through real Kafka: stored with its place and reason, no good reading lost."""

import uuid
from pathlib import Path

import pytest

from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from operators.rejects import KEPT_BYTES
from tests.kafka import eventually, new_topic
from tests.operators.payloads import NOW_MS, SPOILT, reading
from tests.running import Site, create_tables, produce_payloads

MAX_BYTES = 200_000
LATE_REASONS = ("timestamp_unit", "timestamp_range", "clock_ahead", "not_finite")
"""Found out after the sensor's type was looked at, so theirs must be known."""

BAD: list[tuple[str, bytes | None]] = [
    *((reason, bad.replace(b"{", b'{"sensor_type": "power", ', 1)) for reason, bad in SPOILT if reason in LATE_REASONS),
    *((reason, bad) for reason, bad in SPOILT if reason not in LATE_REASONS),
    ("null_payload", None),
    ("empty_payload", b""),
    ("empty_payload", b" \n"),
    ("too_large", reading(attributes={"blob": "x" * MAX_BYTES})),
    ("unknown_type", reading(sensor_type="no such type")),
]
GOOD_BETWEEN = 20


@pytest.fixture
def site(tmp_path: Path, broker: Broker, clickhouse: EmbeddedClickHouse) -> Site:
    site = Site(
        home=tmp_path / "worker",
        bootstrap=broker.bootstrap,
        topic=new_topic(broker),
        clickhouse_port=clickhouse.port,
        database=f"rejects_{uuid.uuid4().hex[:8]}",
    )
    create_tables(site)
    return site


def _good(number: int) -> bytes:
    return reading(sensor_id=f"s-{number % 3}", sensor_type="power", timestamp=NOW_MS - 100_000 + number)


def test_every_kind_of_bad_message_is_a_dead_letter_and_the_flow_goes_on(site: Site) -> None:
    payloads: list[bytes | None] = []
    wanted = {}
    good = 0
    for reason, bad in BAD:
        wanted[len(payloads)] = (reason, bad or b"")
        payloads.append(bad)
        for _ in range(GOOD_BETWEEN):
            payloads.append(_good(good))
            good += 1
    settings = {"KAFKA__MAX_PAYLOAD_BYTES": str(MAX_BYTES), "REGISTRY__UNKNOWN_TYPES": "refuse"}
    with site.worker(**settings) as worker:
        produce_payloads(site.bootstrap, site.topic, payloads, kafka_ms=NOW_MS)
        site.waits_for(good)
        site.waits_for(len(BAD), "dead_letters")
        produce_payloads(site.bootstrap, site.topic, [_good(good)], kafka_ms=NOW_MS)
        site.waits_for(good + 1)
        assert worker.stop() == 0
    assert site.complaints == []

    refused = {row["offset"]: row for row in site.stored("dead_letters")}
    assert {offset: row["reason"] for offset, row in refused.items()} == {at: why for at, (why, _) in wanted.items()}
    for offset, (reason, payload) in wanted.items():
        row = refused[offset]
        assert (row["topic"], row["partition"], row["idx"]) == (site.topic, 0, 0)
        assert row["payload_bytes"] == len(payload)
        assert row["payload"] == payload[:KEPT_BYTES].decode("utf-8", "backslashreplace")
        assert row["detail"], reason
    stored = {row["offset"] for row in site.stored("readings")}
    assert stored == set(range(len(payloads) + 1)) - wanted.keys()
    [source] = [row for row in site.stored("ledger") if row["stage"] == "source"]
    assert (source["messages"], source["readings"]) == (len(payloads) + 1, len(payloads) + 1)
    assert source["rejected"] == len(BAD)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_too_many_refused_readings_stop_the_flow_with_one_line(site: Site, processes: str) -> None:
    bad = 150
    produce_payloads(site.bootstrap, site.topic, [reading(), *[b"garbage"] * bad], kafka_ms=NOW_MS)
    with site.worker("--processes", processes, QUALITY__DEAD_LETTER_WINDOW="100") as worker:
        site.waits_for(bad, "dead_letters")
        produce_payloads(site.bootstrap, site.topic, [reading()], kafka_ms=NOW_MS)  # what comes next is not read
        assert eventually(lambda: worker.returncode is not None)
        assert worker.returncode == 1, site.log
    [line] = site.complaints
    assert "error" in line
    assert f"{site.topic}/0" in line
    assert "dead_letter_share" in line
    assert len(site.stored("dead_letters")) == bad
    assert len(site.stored("readings")) == 1
