"""Spans reach a collector of OpenTelemetry: few, bounded, of one epoch each; and nothing happens without one."""

import logging
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from flows.observing import traced
from flows.settings import Observe, Settings, SettingsError
from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.observe import meters, traces
from infra.observe.traces import Traces
from tests.collector import attributes, collecting
from tests.running import sites

RESOURCE = {"service.name": "streamgauge", "streamgauge.flow": "sensors"}


def test_a_worker_tells_where_its_time_goes(broker: Broker, clickhouse: EmbeddedClickHouse, tmp_path: Path) -> None:
    site = sites(broker, clickhouse, tmp_path, messages=2_000, partitions=2)("traced")
    with collecting() as collector:
        site.run_to_end(OBSERVE__TRACES=collector.url)
    assert not site.complaints
    assert all(one["service.name"] == "streamgauge" for one in collector.resources)
    assert all(one["streamgauge.flow"] == "sensors" for one in collector.resources)
    by_name = {span.name: span for span in collector.spans}
    epochs = {span.span_id: span.trace_id for span in collector.spans if span.name == "epoch"}
    for span in collector.spans:
        assert span.end_time_unix_nano >= span.start_time_unix_nano
        assert abs(span.end_time_unix_nano / 1e9 - time.time()) < 300
        if span.name != "epoch":
            assert epochs[span.parent_span_id] == span.trace_id, f"{span.name} is of no epoch"
    polled = attributes(by_name[f"poll {site.topic}"])
    assert polled["messaging.destination.partition.id"] in ("0", "1")
    assert polled["messaging.batch.message_count"] > 0
    assert polled["streamgauge.readings"] > 0
    judged = attributes(by_name["step sensors"])
    assert judged["streamgauge.shard"].startswith(f"{site.topic}/")
    assert judged["streamgauge.readings"] > 0
    assert {"step clock", "step windows", "snapshot sensors", "INSERT readings", "close epoch"} <= by_name.keys()
    inserted = attributes(by_name["INSERT readings"])
    assert (inserted["db.system.name"], inserted["db.collection.name"]) == ("clickhouse", "readings")
    assert inserted["db.operation.batch.size"] > 0


def test_of_what_is_quick_one_a_second_is_told_and_all_that_is_slow_or_fails() -> None:
    with collecting() as collector, Traces(collector.url, RESOURCE) as told:
        for _ in range(1_000):
            told.ended("quick", time.monotonic_ns(), {})
        for _ in range(5):
            told.ended("slow", time.monotonic_ns() - 200_000_000, {"n": 1})
        with pytest.raises(ValueError, match="no"), meters.inserting("readings", 7):
            raise ValueError("no such table")
        told.__exit__(None, None, None)
        names = [span.name for span in collector.spans]
    assert names.count("quick") < 20
    assert names.count("slow") == 5
    (failed,) = (span for span in collector.spans if span.name == "INSERT readings")
    assert "no such table" in failed.status.message
    assert attributes(failed)["db.operation.batch.size"] == 7


def test_a_collector_that_is_away_is_told_once_and_holds_nothing_up(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # taken, but nothing listens
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        with caplog.at_level(logging.INFO), Traces(url, RESOURCE) as told:
            for _ in range(5_000):
                told.ended("slow", time.monotonic_ns() - 200_000_000, {})
    (said,) = caplog.messages
    assert f"{url}/v1/traces takes no traces, they are dropped until it does" in said


def test_without_a_collector_nothing_is_imported_and_nothing_is_made() -> None:
    assert isinstance(traced(Settings(), "sensors"), nullcontext)
    assert traces.ACTIVE is None
    program = "import flows.commands.run, flows.production, sys; print('opentelemetry' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == "False"


def test_a_missing_package_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    settings = Settings(observe=Observe(traces="http://127.0.0.1:4318"))
    with pytest.raises(SettingsError, match=r"observe.traces = .* is not installed: pip install 'streamgauge\[otel\]'"):
        traced(settings, "sensors")
