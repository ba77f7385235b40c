"""What Prometheus is told: the vocabulary, its page, and that what happens is counted."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from bytewax.testing import run_main
from prometheus_client.parser import text_string_to_metric_families

from flows.sensors import build
from flows.settings import Settings
from infra.clickhouse.writer import Writer
from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.observe import metrics
from infra.observe.merged import merge, pages, published
from infra.observe.meters import PartitionMeter, StepMeter
from operators.batches import Rows
from tests.infra.clickhouse_support import database
from tests.infra.test_kafka_source import driven
from tests.kafka import fill, new_topic
from tests.operators.payloads import NOW_MS, reading
from tests.ports import Item, MemoryTables, Message, list_ports

ROOT = Path(__file__).parent.parent.parent


def told(name: str, **labels: str) -> float:
    """The value of a sample now; 0 when there is none yet."""
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


def growth(name: str, **labels: str) -> Callable[[], float]:
    """How much a sample has grown since this call."""
    before = told(name, **labels)
    return lambda: told(name, **labels) - before


def test_nothing_but_the_vocabulary_is_exported() -> None:
    families = {
        (family.name + ("_total" if family.type == "counter" else ""), family.type)
        for family in text_string_to_metric_families(metrics.exposition().decode())
    }
    assert families == {(one.name, one.kind) for one in metrics.VOCABULARY}


def test_every_metric_has_its_unit_in_its_name_and_a_sentence() -> None:
    for one in metrics.VOCABULARY:
        assert one.description.endswith("."), one.name
        assert one.name.startswith(("streamgauge_", "process_"))
        assert one.unit not in ("seconds", "bytes") or one.unit in one.name, one.name
        assert one.name.endswith("_total") == (one.kind == "counter"), one.name
        assert not {"sensor", "sensor_id", "asset_id"} & set(one.labels), one.name


def test_the_page_of_metrics_is_current() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert page == metrics.markdown(), "python -m infra.observe.metrics > docs/metrics.md"


def test_a_flow_counts_what_it_judges_and_how_large_its_state_is() -> None:
    def item(sensor: str, second: int, value: float = 1.0) -> Message:
        return Message(reading(sensor_id=sensor, timestamp=NOW_MS + second * 1000, value=value), NOW_MS + 600_000)

    items: list[Item] = [item("a", 0), item("a", 60), item("b", 60), item("b", 60), item("b", 60, 2.0), item("a", 1)]
    outcomes = {
        name: growth("streamgauge_readings_total", outcome=name) for name in ("ok", "duplicate", "conflict", "late")
    }
    steps = {name: growth("streamgauge_step_seconds_count", step=name) for name in ("clock", "sensors", "windows")}
    sensors = growth("streamgauge_sensors")
    ports = replace(list_ports({"t/0": items}, MemoryTables(), close_at_end=True), meter=StepMeter())
    run_main(build(Settings(detectors=()), ports))
    assert {name: count() for name, count in outcomes.items()} == {"ok": 3, "duplicate": 1, "conflict": 1, "late": 1}
    assert all(count() >= 1 for count in steps.values())
    assert sensors() == 2


def test_a_partition_tells_how_far_behind_it_is(broker: Broker) -> None:
    topic = new_topic(broker)
    labels = {"topic": topic, "partition": "0"}
    fill(broker, topic, 10)
    completed = growth("streamgauge_epoch_close_seconds_count")
    held = growth("streamgauge_source_polls_total", result="held_back")
    with driven(broker, topic, max_epoch_rows=4) as run:
        run.until_read(4)
        run.step()
        assert told("streamgauge_source_lag_messages", **labels) == 6
        assert held() >= 1
        run.part.snapshot()
        assert completed() == 0
        run.step()
        assert completed() == 1
        run.until_read(8)
        run.part.snapshot()
        run.until_read(10)
        assert told("streamgauge_source_lag_messages", **labels) == 0
        assert told("streamgauge_source_messages_total", **labels) == 10
        page = metrics.exposition().decode()
    assert f'streamgauge_watermark_delay_seconds{{partition="0",topic="{topic}"}} NaN' in page
    assert "lag_messages{" not in metrics.exposition().decode(), "a partition that is not read any more has no lag"


def test_processes_are_told_apart_on_one_page(tmp_path: Path) -> None:
    PartitionMeter("t", 1).close()
    metrics.READINGS.labels("ok").inc(3)
    with published(tmp_path, 0), published(tmp_path, "watch"):
        found = pages(tmp_path)
    assert found.keys() == {"0", "watch"}
    page = merge(found).decode()
    samples = [line for line in page.splitlines() if line.startswith("streamgauge_readings_total{")]
    assert {'outcome="ok",process="0"', 'outcome="ok",process="watch"'} <= {
        line.split("{")[1].split("}")[0] for line in samples
    }
    headings = [line for line in page.splitlines() if line.startswith("# TYPE")]
    assert len(headings) == len(set(headings)) == len(metrics.VOCABULARY)


def test_a_directory_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    with published(tmp_path / "gone", 0):
        assert pages(tmp_path / "gone") == {}


def test_inserts_are_counted_and_nothing_stays_buffered(clickhouse: EmbeddedClickHouse) -> None:
    rows, inserts = (
        growth("streamgauge_inserted_rows_total", table="events"),
        growth("streamgauge_insert_seconds_count"),
    )
    buffered = growth("streamgauge_buffered_bytes")
    with database(clickhouse.port) as (address, _):
        writer = Writer(address)
        writer.write([Rows("events", 3, {"time": np.arange(3), "kind": "test", "subject": "s", "detail": "d"})])
        writer.flush()
        writer.close()
    assert (rows(), inserts(), buffered()) == (3, 1, 0)
