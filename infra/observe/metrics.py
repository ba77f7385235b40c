"""Everything a process of streamgauge tells Prometheus: a closed vocabulary, and nothing else is ever exported.

Each metric is defined here, once, with its unit and what it is for; `docs/metrics.md` is made from it by
`python -m infra.observe.metrics`. No metric has a label per sensor, and all are updated per batch, not per reading.
"""

import platform
from importlib import metadata
from typing import Literal, NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

REGISTRY = CollectorRegistry()
"""Of this process; not the library's default one, to which others add."""

disable_created_metrics()  # type: ignore[no-untyped-call]

Kind = Literal["counter", "gauge", "histogram"]


class Metric(NamedTuple):
    """One line of the vocabulary."""

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    description: str


VOCABULARY: list[Metric] = []
"""Every metric, in the order of the table."""


def _counter(name: str, unit: str, description: str, *labels: str) -> Counter:
    VOCABULARY.append(Metric(name, "counter", unit, labels, description))
    return Counter(name, description, labels, registry=REGISTRY)


def _gauge(name: str, unit: str, description: str, *labels: str) -> Gauge:
    VOCABULARY.append(Metric(name, "gauge", unit, labels, description))
    return Gauge(name, description, labels, registry=REGISTRY)


def _histogram(name: str, unit: str, description: str, *labels: str, upto: tuple[float, ...]) -> Histogram:
    VOCABULARY.append(Metric(name, "histogram", unit, labels, description))
    return Histogram(name, description, labels, registry=REGISTRY, buckets=upto)


_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_ROWS = (1.0, 10.0, 100.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0, 20_000.0, 100_000.0)

# The source. Is the flow keeping up, and if not, what holds it back?

SOURCE_LAG = _gauge(
    "streamgauge_source_lag_messages",
    "messages",
    "Messages in the partition that were not read yet, by the end librdkafka last heard of.",
    *("topic", "partition"),
)
WATERMARK_DELAY = _gauge(
    "streamgauge_watermark_delay_seconds",
    "seconds",
    "How far the partition's event time lies behind the wall clock; it grows while the partition is silent. NaN before "
    "its first reading.",
    *("topic", "partition"),
)
SOURCE_MESSAGES = _counter(
    "streamgauge_source_messages_total", "messages", "Kafka messages read.", *("topic", "partition")
)
SOURCE_POLLS = _counter(
    "streamgauge_source_polls_total",
    "polls",
    "Times a partition was polled: it gave messages, had nothing, or was held back because it had read "
    "worker.max_epoch_rows in this epoch already.",
    "result",
)
BATCH_READINGS = _histogram(
    "streamgauge_batch_readings", "readings", "Readings in a batch as it leaves the source.", upto=_ROWS
)

# Readings. Every one that was read ends in one of these counts; the table `ledger` has them exactly, over restarts.

READINGS = _counter(
    "streamgauge_readings_total",
    "readings",
    "Readings judged: ok, out_of_order and conflict count in their windows, late and after_idle do not, duplicate is "
    "dropped.",
    "outcome",
)
REJECTED = _counter(
    "streamgauge_rejected_total", "payloads", "Payloads, or readings of one, in dead letters, by reason.", "reason"
)
SENSORS = _gauge("streamgauge_sensors", "sensors", "Sensors whose state this process holds.")

# Steps. Where does the time go, and how large is what must be stored for a restart?

STEP_SECONDS = _histogram(
    "streamgauge_step_seconds",
    "seconds",
    "Time of a step for the batches of one key: clock, sensors (checks, features, detectors, verdict, panes), windows.",
    "step",
    upto=_SECONDS,
)
SNAPSHOT_SECONDS = _histogram(
    "streamgauge_snapshot_seconds",
    "seconds",
    "Time to pack one key's state; its step stands still meanwhile.",
    "step",
    upto=_SECONDS,
)
STATE_BYTES = _gauge(
    "streamgauge_state_bytes", "bytes", "State of a step as last packed for the recovery store, all keys.", "step"
)
STATE_KEYS = _gauge("streamgauge_state_keys", "keys", "Keys of a step that were packed so far.", "step")

# Epochs. When was everything up to here stored for good?

EPOCH_SECONDS = _histogram(
    "streamgauge_epoch_seconds",
    "seconds",
    "From the end of one epoch to the end of the next, as each partition sees it; see worker.epoch.",
    upto=(0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0),
)
EPOCH_CLOSE_SECONDS = _histogram(
    "streamgauge_epoch_close_seconds",
    "seconds",
    "From a partition's snapshot until everything before it was acknowledged by ClickHouse and reading went on.",
    upto=_SECONDS,
)
EPOCH_COMPLETED = _gauge(
    "streamgauge_epoch_completed_timestamp_seconds",
    "seconds",
    "Unix time at which an epoch was last complete; `time() - ` this is its age. 0 before the first.",
)

# ClickHouse.

INSERTED_ROWS = _counter("streamgauge_inserted_rows_total", "rows", "Rows acknowledged by ClickHouse.", "table")
INSERT_SECONDS = _histogram(
    "streamgauge_insert_seconds", "seconds", "Time of an insert that was acknowledged.", upto=_SECONDS
)
INSERT_RETRIES = _counter("streamgauge_insert_retries_total", "inserts", "Inserts that failed and were repeated.")
CLICKHOUSE_OUTAGES = _counter("streamgauge_clickhouse_outages_total", "outages", "Times ClickHouse went away.")
WRITE_BLOCKED = _counter(
    "streamgauge_write_blocked_seconds_total", "seconds", "How long the flow waited for room in the write buffer."
)
BUFFERED_BYTES = _gauge("streamgauge_buffered_bytes", "bytes", "Rows taken in but not yet acknowledged.")

# `streamgauge ingest mqtt`.

MQTT_MESSAGES = _counter(
    "streamgauge_mqtt_messages_total",
    "messages",
    "MQTT messages received: new, or again (sent once more by the broker because they were not acknowledged).",
    "delivery",
)
MQTT_ACKNOWLEDGED = _counter(
    "streamgauge_mqtt_acknowledged_total", "messages", "MQTT messages acknowledged: Kafka has what was made of them."
)
MQTT_UNFIT = _counter(
    "streamgauge_mqtt_unfit_total",
    "messages",
    "MQTT messages the bridge could not use: no_sensor and not_json go to Kafka as they are, too_large are dropped.",
    "reason",
)
MQTT_IN_FLIGHT = _gauge(
    "streamgauge_mqtt_in_flight_messages", "messages", "MQTT messages on their way to Kafka, not acknowledged yet."
)
MQTT_CONNECTED = _gauge("streamgauge_mqtt_connected", "0 or 1", "Whether the MQTT broker can send.")

# A device: `streamgauge edge`.

FORWARDED = _counter("streamgauge_forwarded_messages_total", "messages", "Messages that the Kafka elsewhere has taken.")
FORWARD_DROPPED = _counter(
    "streamgauge_forward_dropped_messages_total",
    "messages",
    "Messages that will not go to the Kafka elsewhere: edge.spool_bytes was full, or they are too large for it.",
)
FORWARD_WAITING = _gauge("streamgauge_forward_waiting_messages", "messages", "Messages that wait for it on disk.")
FORWARD_WAITING_BYTES = _gauge("streamgauge_forward_waiting_bytes", "bytes", "What they take there, packed.")

# HTTP: `streamgauge ingest http`.

HTTP_REQUESTS = _counter(
    "streamgauge_http_requests_total", "requests", "Requests, by what was answered.", *("route", "status")
)
HTTP_SECONDS = _histogram(
    "streamgauge_http_request_seconds",
    "seconds",
    "From a request's headers to the end of its answer.",
    "route",
    upto=_SECONDS,
)
HTTP_READINGS = _counter(
    "streamgauge_http_readings_total",
    "readings",
    "Readings sent: accepted, or the reason they were refused for.",
    "outcome",
)
HTTP_WAITING = _gauge(
    "streamgauge_http_waiting_bytes",
    "bytes",
    "Readings taken in that Kafka has not confirmed yet; see http.queue_bytes.",
)
HTTP_UNDELIVERED = _gauge(
    "streamgauge_http_undelivered_messages", "messages", "Messages that Kafka has refused for good since the start."
)

# The machine and the processes.

RESTARTS = _counter("streamgauge_restarts_total", "restarts", "Times the workers were started again after one died.")
CPU_BUSY = _gauge("streamgauge_system_cpu_busy_ratio", "0..1", "Share of all processors that is in use.")
MEMORY_AVAILABLE = _gauge(
    "streamgauge_system_memory_available_bytes",
    "bytes",
    "Memory left; a container's own if that is less.",
)
DISK_FREE = _gauge("streamgauge_disk_free_bytes", "bytes", "Free space where a directory is.", "directory")
DEGRADED = _gauge("streamgauge_degraded", "0 or 1", "Whether cpu, memory or a disk is short; see [observe].", "what")
SILENT = _gauge(
    "streamgauge_silent", "subjects", "Partitions, plants (topics) or flows that `watch` finds silent.", "subject_kind"
)
LOG_MESSAGES = _counter(
    "streamgauge_log_messages_total", "messages", "Log messages, also those suppressed as repetitions.", "level"
)
BUILD = _gauge("streamgauge_build_info", "1", "Always 1; release and Python version.", *("version", "python"))
BUILD.labels(metadata.version("streamgauge"), platform.python_version()).set(1)

ProcessCollector(registry=REGISTRY)
VOCABULARY += [
    Metric("process_cpu_seconds_total", "counter", "seconds", (), "Processor time used."),
    Metric("process_resident_memory_bytes", "gauge", "bytes", (), "Memory in use."),
    Metric("process_virtual_memory_bytes", "gauge", "bytes", (), "Address space."),
    Metric("process_start_time_seconds", "gauge", "seconds", (), "Unix time at which the process started."),
    Metric("process_open_fds", "gauge", "files", (), "Open file descriptors."),
    Metric("process_max_fds", "gauge", "files", (), "Most file descriptors it may open."),
]


def exposition() -> bytes:
    """All metrics of this process in Prometheus' text format."""
    return generate_latest(REGISTRY)


def markdown() -> str:
    """The vocabulary as `docs/metrics.md`."""
    lines = [
        "# Metrics",
        "",
        "What `/metrics` tells, never per sensor. Each process of a cluster tells for itself, with a label `process`:",
        "its number, or `supervisor`. `python -m infra.observe.metrics > docs/metrics.md` makes this page.",
        "",
        "| metric | type | unit | labels | what it is |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in VOCABULARY:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        lines.append(f"| `{one.name}` | {one.kind} | {one.unit} | {labels} | {one.description} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
