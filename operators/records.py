"""The one schema: what a reading is, and every row that is stored.

`Reading` is the payload contract. `TABLES` holds each ClickHouse table's columns; the migrations, the row encoders, the
start-up check and the documentation are tested against it. Evolution is additive: unknown payload fields are ignored, a
new field needs a default.
"""

from dataclasses import dataclass
from typing import Annotated

import msgspec

Label = Annotated[str, msgspec.Meta(max_length=256)]
SensorId = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]

RULES = ("range", "stuck")
"""Checks of quality.py that count as rules in `flagged_by`. What is out of range is an anomaly whatever the models say;
to be stuck is the usual for some sensors, so there the models decide."""


class Reading(msgspec.Struct, gc=False):
    """One measurement of one sensor, as it arrives.

    timestamp: event time, epoch milliseconds (integer) or RFC 3339 text with an offset.
    value: finite; in `unit`.
    seq: the sensor's own running number, when it has one.
    attributes: any JSON object, kept as text.
    label: ground truth when known: "normal" or the kind of fault; "" says nothing.
    Empty text in sensor_type, location, unit, asset_id means "not said": the registry completes it.
    """

    sensor_id: SensorId
    value: float
    timestamp: int | str
    sensor_type: Label = ""
    location: Label = ""
    unit: Label = ""
    asset_id: Label = ""
    seq: int | None = None
    attributes: msgspec.Raw = msgspec.Raw(b"")
    label: Label = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One stored column: its ClickHouse type and what it says, with unit and range."""

    name: str
    type: str
    doc: str


@dataclass(frozen=True, slots=True)
class Table:
    """One stored table.

    identity: the ORDER BY key; together it names a row for good, so that a replay replaces and never doubles.
    version: of two rows with one identity the larger version stays.
    partition_by: an expression over identity columns only, else a replaced row could stay in another partition.
    """

    name: str
    doc: str
    columns: tuple[Column, ...]
    identity: tuple[str, ...]
    partition_by: str
    version: str = "generation"


_TEXT = "LowCardinality(String)"
_TIME = "DateTime64(3, 'UTC')"
_NUMBER = "Nullable(Float64)"
_GENERATION = Column(
    "generation", "UInt32", "0 for the live flow; a rebuild of a past range writes a higher one, which wins"
)
_SCORES = "Map(LowCardinality(String), Float32)"

READINGS = Table(
    "readings",
    "Every reading that was accepted, once, with its verdict.",
    (
        Column("sensor_id", _TEXT, "which sensor"),
        Column("time", _TIME, "event time"),
        Column("topic", _TEXT, "Kafka topic it came from"),
        Column("partition", "Int32", "Kafka partition"),
        Column("offset", "Int64", "Kafka offset of its message"),
        Column("idx", "Int32", "position within the message, from 0"),
        _GENERATION,
        Column("sensor_type", _TEXT, "what is measured: temperature, vibration, ..."),
        Column("location", _TEXT, "where"),
        Column("asset_id", _TEXT, "the machine or room it belongs to; '' when not said"),
        Column("unit", _TEXT, "unit of value"),
        Column("value", "Float64", "measured value, finite"),
        Column("seq", "Nullable(Int64)", "the sensor's own running number"),
        Column("attributes", "String", "further JSON sent along; '' when none"),
        Column("label", _TEXT, "ground truth: 'normal', a kind of fault, or '' when not known"),
        Column(
            "quality",
            _TEXT,
            "ok | out_of_order (on time, older than its sensor's newest) | conflict (second value for one time) | "
            "late (older than its partition's watermark) | after_idle (its windows closed while its partition slept)",
        ),
        Column("out_of_range", "Bool", "outside the limits of its sensor or type"),
        Column("stuck", "Bool", "its sensor has repeated one value for too long"),
        Column(
            "score",
            "Float32",
            "novelty of the moment by the models together: -log10 of its chance beside all that the sensor has shown, "
            "0 while an equal one was given out shortly before; NaN while unknown",
        ),
        Column("is_anomaly", "Bool", "the verdict: the models together are in alarm, or the value is out of range"),
        Column("rule_anomaly", "Bool", "a rule (z-score, range, stuck) flagged it"),
        Column("model_anomaly", "Bool", "the models together are in alarm"),
        Column(
            "flagged_by",
            "Array(LowCardinality(String))",
            "names of the rules, models and challengers that flagged it, each by itself",
        ),
        Column("scores", _SCORES, "raw score of each detector; NaN while it warms up"),
        Column(
            "surprises",
            _SCORES,
            "calibrated score of each detector: -log10 of the chance of such a raw score in the sensor's own past",
        ),
        Column("model_versions", _TEXT, "JSON: version of each model that has one, by detector; '' when none has"),
        Column("expected", _NUMBER, "value that was forecast; NULL while unknown (so for the next two)"),
        Column("expected_low", _NUMBER, "lower end of the interval that was forecast"),
        Column("expected_high", _NUMBER, "upper end of the interval that was forecast"),
    ),
    ("sensor_id", "time", "topic", "partition", "offset", "idx"),
    "toYYYYMM(time)",
)

WINDOWS = Table(
    "windows",
    "One row per closed window and group; a known group without readings has count 0.",
    (
        Column("window", _TEXT, "name of the window in the configuration"),
        Column("start", _TIME, "first instant of the window (inclusive)"),
        Column("sensor_type", _TEXT, "group; '' when the window is not grouped by it (so for the next four)"),
        Column("location", _TEXT, "group"),
        Column("asset_id", _TEXT, "group"),
        Column("unit", _TEXT, "group"),
        Column("sensor_id", _TEXT, "group"),
        Column("topic", _TEXT, "group"),
        _GENERATION,
        Column("end", _TIME, "end of the window (exclusive)"),
        Column("size_ms", "Int64", "length of the window, milliseconds"),
        Column("hop_ms", "Int64", "distance of window starts, milliseconds; equal to size_ms for tumbling windows"),
        Column("count", "Int64", "readings on time in the window"),
        Column("mean", _NUMBER, "arithmetic mean; NULL without readings (so for the next seven)"),
        Column("min", _NUMBER, "smallest value"),
        Column("max", _NUMBER, "largest value"),
        Column("stddev", _NUMBER, "population standard deviation"),
        Column("first", _NUMBER, "value at the earliest event time (ties: partition, offset, idx)"),
        Column("last", _NUMBER, "value at the latest event time (ties: partition, offset, idx)"),
        Column("p50", _NUMBER, "median, within 1 % of the value"),
        Column("p95", _NUMBER, "95th percentile, within 1 % of the value"),
        Column("anomaly_count", "Int64", "readings of the window flagged as anomalies"),
        Column("expected_count", _NUMBER, "readings expected from the sensors' intervals; NULL while unknown"),
        Column("completeness", _NUMBER, "count / expected_count, at most 1"),
        Column("complete", "Bool", "false when the window began before the flow saw it begin"),
        Column("extra", "Map(LowCardinality(String), Float64)", "aggregates of one's own, by name"),
    ),
    ("window", "start", "sensor_type", "location", "asset_id", "unit", "sensor_id", "topic"),
    "toYYYYMM(start)",
)

ASSET_VERDICTS = Table(
    "asset_verdicts",
    "The verdict on an asset's sensors together, one row per tick of event time in which at least two are known.",
    (
        Column("asset_id", _TEXT, "the machine or room; '' when assets are locations"),
        Column("location", _TEXT, "where; '' when assets are told by asset_id"),
        Column("time", _TIME, "first instant of the tick (inclusive)"),
        _GENERATION,
        Column("tick_ms", "Int64", "length of the tick, milliseconds"),
        Column("sensors", "Int64", "sensors it was judged by: those known that spoke lately"),
        Column(
            "score", "Float32", "surprise: -log10 of the chance of so strange a tick in the asset's own past, 0 or more"
        ),
        Column("is_anomaly", "Bool", "in alarm: from a score at the threshold until it has been low for a while"),
        Column(
            "shares",
            _SCORES,
            "sensors that deviate most, with their share of the whole deviation (squared, in units of what is usual "
            "for each sensor); empty for scores below 2 outside of alarms",
        ),
    ),
    ("asset_id", "location", "time"),
    "toYYYYMM(time)",
)

ALERTS = Table(
    "alerts",
    "Alert episodes, one row each, replaced as the episode goes on.",
    (
        Column("alert_id", "String", "fingerprint and start: the same for every replay"),
        Column("started_at", _TIME, "event time the episode began"),
        _GENERATION,
        Column("state", _TEXT, "open | resolved"),
        Column("fired_at", _TIME, "event time at which it had lasted for as long as its rule wants"),
        Column("ended_at", f"Nullable({_TIME})", "event time the episode ended; NULL while open"),
        Column("updated_at", _TIME, "event time of the last change"),
        Column("version", "UInt64", "generation in the upper bits, then how long it has lasted: the newest state wins"),
        Column("source", _TEXT, "flow, by event time; health, by the wall clock: what watches flow and machine"),
        Column("severity", _TEXT, "info | warning | critical"),
        Column("rule", _TEXT, "name of the alert rule"),
        Column("sensor_id", _TEXT, "'' for an alert on a group"),
        Column("sensor_type", _TEXT, "group"),
        Column("location", _TEXT, "group"),
        Column("asset_id", _TEXT, "group"),
        Column("sensors", "Int64", "sensors that were in alarm in the episode; 1 for an alert on one"),
        Column("peak_score", "Float32", "score of its strongest reading or tick, of a group the largest; NaN: unknown"),
        Column(
            "inhibits",
            "Array(LowCardinality(String))",
            "rules whose alerts with the same labels are not told while it is open",
        ),
        Column("reason", "String", "one sentence for people"),
        Column("evidence", "String", "JSON: readings, features, scores and model version behind it"),
    ),
    ("alert_id", "started_at"),
    "toYYYYMM(started_at)",
    version="version",
)

ALERT_ACTIONS = Table(
    "alert_actions",
    "What people did: acknowledgements, silences, comments. Append-only; never written by a flow.",
    (
        Column("action_id", "UUID", "made by whoever wrote it"),
        Column("at", _TIME, "when"),
        _GENERATION,
        Column("action", _TEXT, "ack | silence | maintenance (a silence planned ahead) | unsilence | comment"),
        Column("alert_id", "String", "which alert; '' for a silence by labels"),
        Column("matchers", "String", "JSON: labels a silence matches"),
        Column("since", f"Nullable({_TIME})", "begin of a silence that was planned ahead; NULL for at once"),
        Column("until", f"Nullable({_TIME})", "end of a silence"),
        Column("actor", "String", "who"),
        Column("comment", "String", "why"),
    ),
    ("at", "action_id"),
    "toYYYYMM(at)",
)

DEAD_LETTERS = Table(
    "dead_letters",
    "Every payload, or part of one, that was refused: where it was, why, and what it held.",
    (
        Column("topic", _TEXT, "Kafka topic"),
        Column("partition", "Int32", "Kafka partition"),
        Column("offset", "Int64", "Kafka offset"),
        Column("idx", "Int32", "position within the message, from 0"),
        _GENERATION,
        Column("kafka_time", _TIME, "time stamp of the Kafka message"),
        Column("reason", _TEXT, "short name of the reason"),
        Column("detail", "String", "what was wrong, in words"),
        Column("payload", "String", "the refused bytes, cut at the configured size"),
        Column("payload_bytes", "Int64", "full size of the refused bytes"),
    ),
    ("topic", "partition", "offset", "idx"),
    "intDiv(offset, 100000000)",
)

DATA_QUALITY = Table(
    "data_quality",
    "Episodes of a sensor's data: gaps, stuck values, conflicts, values out of range.",
    (
        Column("sensor_id", _TEXT, "which sensor"),
        Column("kind", _TEXT, "gap | stuck | conflict | out_of_range | silent"),
        Column("start", _TIME, "event time the episode began"),
        Column("topic", _TEXT, "Kafka topic"),
        Column("partition", "Int32", "Kafka partition"),
        _GENERATION,
        Column("end", f"Nullable({_TIME})", "event time it ended; NULL while it lasts"),
        Column("version", "UInt64", "generation in the upper bits, then the readings seen: the newest state wins"),
        Column("sensor_type", _TEXT, "what is measured"),
        Column("location", _TEXT, "where"),
        Column(
            "readings", "Int64", "readings of the episode; for a gap and for silence the readings missing, 0 if unknown"
        ),
        Column("value", _NUMBER, "the value that was stuck, in conflict or first out of range"),
    ),
    ("sensor_id", "kind", "start", "topic", "partition"),
    "toYYYYMM(start)",
    version="version",
)

EVENTS = Table(
    "events",
    "What happened to the flow itself: restart, drift, model change, idle partitions.",
    (
        Column("time", _TIME, "event time, or wall-clock time for what has none"),
        Column("kind", _TEXT, "restart | idle | resumed | drift | model_change | detector_off | ..."),
        Column("subject", "String", "what it happened to: topic/partition, sensor, model"),
        _GENERATION,
        Column("detail", "String", "in words"),
    ),
    ("kind", "time", "subject"),
    "toYYYYMM(time)",
)

SENSORS = Table(
    "sensors",
    "The registry: what is known of each sensor beyond what it sends.",
    (
        Column("sensor_id", "String", "which sensor"),
        Column("updated_at", _TIME, "when this row was written"),
        Column("sensor_type", _TEXT, "completes readings that do not say it (so for the next three)"),
        Column("location", _TEXT, "where"),
        Column("asset_id", _TEXT, "machine or room"),
        Column("unit", _TEXT, "unit of value"),
        Column("min_value", _NUMBER, "smallest plausible value"),
        Column("max_value", _NUMBER, "largest plausible value"),
        Column("interval_ms", "Nullable(Int64)", "expected distance of readings, milliseconds"),
        Column("time_zone", _TEXT, "IANA name, for hour of day and day of week; '' is UTC"),
    ),
    ("sensor_id",),
    "tuple()",
    version="updated_at",
)

LEDGER = Table(
    "ledger",
    "The count of everything, per stretch of a partition's offsets: readings = on time + late + duplicates + rejected.",
    (
        Column("topic", _TEXT, "Kafka topic"),
        Column("partition", "Int32", "Kafka partition"),
        Column("bucket", "Int64", "first offset of the stretch"),
        Column("stage", _TEXT, "source (messages, readings, rejected) or shard K (the rest)"),
        _GENERATION,
        Column("version", "UInt64", "generation in the upper bits, then the readings counted: the fullest count wins"),
        Column("messages", "Int64", "Kafka messages read"),
        Column("readings", "Int64", "readings found in them, good and bad"),
        Column("rejected", "Int64", "readings refused; each is in dead_letters"),
        Column("on_time", "Int64", "readings that counted in their windows"),
        Column("late", "Int64", "readings older than the watermark"),
        Column("after_idle", "Int64", "those of `late` whose windows closed while their partition was idle"),
        Column("duplicates", "Int64", "the same sensor, time and value again: dropped"),
        Column("conflicts", "Int64", "those of `on_time` with a second value for one sensor and time"),
    ),
    ("topic", "partition", "bucket", "stage"),
    "tuple()",
    version="version",
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        READINGS,
        WINDOWS,
        ASSET_VERDICTS,
        ALERTS,
        ALERT_ACTIONS,
        DEAD_LETTERS,
        DATA_QUALITY,
        EVENTS,
        SENSORS,
        LEDGER,
    )
}

VERSION_SHIFT = 44
"""`version` columns hold generation << VERSION_SHIFT | state: a rebuild beats any live state."""
