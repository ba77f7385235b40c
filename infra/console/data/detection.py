"""The page Detection: what detectors say of readings, how right and how soon they are, and what changed them."""

from typing import Any

from infra.console.data import anomaly
from infra.console.data.lately import counted, lately, look, looked_at, told
from infra.console.data.rows import kinds, table_of_rows
from infra.console.data.verdicts import agreement, challengers, quality, rules_and_models, said
from infra.console.dataset import Ask, Dataset
from infra.console.table import Table

CEILING = 12
"""Surprises beyond are as good as it."""

_BARS = 120
_LISTED = 200
_SAMPLE = 200_000
_CHANGES = ("drift", "model_change", "detector_off", "evicted")

_QUALITY = kinds(text="detector role", number="flagged agreement hits false_alarms missed precision recall f1")
_AGREEMENT = kinds(text="one other", number="both only_one only_other jaccard kappa")
_RULES = kinds(text="rules models", number="readings faults normal labelled")
_CHALLENGERS = kinds(
    text="challenger",
    number="flagged both only_challenger only_champion labelled challenger_alone_right champion_alone_right "
    "precision_challenger precision_champion recall_challenger recall_champion f1_challenger f1_champion",
)


def verdicts(ask: Ask) -> Table:
    """How right each detector is; with what the other tables say, so that a page looks at the readings once."""
    part = lately(ask)
    found = said(part)
    others = {
        "agreement": table_of_rows(_AGREEMENT, agreement(found)).columns,
        "rules_and_models": table_of_rows(_RULES, rules_and_models(found)).columns,
        "challengers": table_of_rows(_CHALLENGERS, challengers(found, ask.known.roles)).columns,
    }
    counts = {
        "readings": found.count(lambda one: True),
        "labelled": found.count(lambda one: one.known),
        "faults": found.count(lambda one: one.faulty),
    }
    return told(table_of_rows(_QUALITY, quality(found, ask.known.roles), **counts, **others), ask, part)


def agreement_(ask: Ask) -> Table:
    """Pairs of detectors."""
    part = lately(ask)
    return told(table_of_rows(_AGREEMENT, agreement(said(part))), ask, part)


def rules_and_models_(ask: Ask) -> Table:
    """Rules together beside models together."""
    part = lately(ask)
    return told(table_of_rows(_RULES, rules_and_models(said(part))), ask, part)


def challengers_(ask: Ask) -> Table:
    """Challengers beside the verdict."""
    part = lately(ask)
    return told(table_of_rows(_CHALLENGERS, challengers(said(part), ask.known.roles)), ask, part)


def flagged(ask: Ask) -> Table:
    """Over time: readings, those flagged by the verdict, by rules, by models, by each detector, and known faults.

    In a long range windows say what the verdict flagged, and the others are told of its newest part only.
    """
    part = lately(ask)
    shortened = part.scope != ask.scope
    bucket_ms = ask.scope.bucket_ms(_BARS, least_ms=60_000 if shortened else 1_000)
    found = part.table(
        f"""
        SELECT intDiv(toUnixTimestamp64Milli(readings.time), {{bucket:Int64}}) * {{bucket:Int64}} AS at,
            count() AS readings, countIf(is_anomaly) AS verdict, countIf(rule_anomaly) AS rules,
            countIf(model_anomaly) AS models, countIf(label NOT IN ('', 'normal')) AS truth,
            sumMap(flagged_by, arrayMap(name -> toUInt64(1), flagged_by)) AS detectors
        FROM readings FINAL {looked_at(part)}
        GROUP BY at ORDER BY at""",
        bucket=bucket_ms,
    )
    rows = [_one_column_each(row) for row in found.rows()]
    names = sorted({name for row in rows for name in row} - set(_OVER_TIME))
    by_time = {row["time"]: dict.fromkeys(names, 0) | row for row in rows}
    if shortened:
        # The part begins within a bucket, it may be.
        by_time = {at: row for at, row in by_time.items() if at >= part.scope.from_ms}
        unknown = dict.fromkeys(("rules", "models", "truth", *names))
        for row in counted(ask, bucket_ms):
            by_time[row["time"]] = unknown | by_time.get(row["time"], {}) | row
    table = table_of_rows(
        _OVER_TIME | dict.fromkeys(names, "number"),
        (by_time[at] for at in sorted(by_time)),
        bucket_ms=bucket_ms,
        detectors=[name.removeprefix(_BY) for name in names],
    )
    return told(table, ask, part)


_BY = "by: "
_OVER_TIME = kinds(time="time", number="readings verdict rules models truth")


def _one_column_each(row: dict[str, Any]) -> dict[str, Any]:
    flags = {f"{_BY}{name}": int(n) for name, n in zip(*row["detectors"], strict=True)}
    return {"time": row["at"], **{name: row[name] for name in _OVER_TIME if name != "time"}, **flags}


def scores(ask: Ask) -> Table:
    """Readings by how surprising each detector found them, in halves; and by the score of all together.

    Of many readings a sample; about.one_in says of how many one was looked at.
    """
    where = look(ask)
    one_in = max(1, -(-where.readings // _SAMPLE))
    found = where.ask.table(
        f"""
        SELECT detector, least(floor(surprise * 2) / 2, {CEILING}) AS from_surprise,
            countIf(label IN ('', 'normal')) AS usual, countIf(label NOT IN ('', 'normal')) AS faulty
        FROM readings FINAL
        ARRAY JOIN
            arrayConcat(mapKeys(surprises), ['= score']) AS detector,
            arrayConcat(mapValues(surprises), [readings.score]) AS surprise
        {looked_at(where.ask, f"cityHash64(sensor_id, readings.time) % {one_in} = 0")} AND isFinite(surprise)
        GROUP BY detector, from_surprise ORDER BY detector, from_surprise"""
    )
    return told(found.with_about(ceiling=CEILING, one_in=one_in), ask, where.ask)


def delays(ask: Ask) -> Table:
    """How soon faults are found, by kind: seconds of event time from a fault's first reading to its first flagged one.

    A fault is a row of a sensor's readings with one label, without a pause of more than ten of its usual intervals.
    """
    part = lately(ask)
    found = part.table(
        f"""
        WITH
            faulty AS
            (
                SELECT sensor_id, toString(label) AS fault, toUnixTimestamp64Milli(readings.time) AS at, is_anomaly
                FROM readings FINAL
                {looked_at(part)} AND label NOT IN ('', 'normal')
            ),
            paced AS
            (
                SELECT *, at - lagInFrame(at, 1, at) OVER by_time AS since_last,
                    row_number() OVER by_time AS number
                FROM faulty
                WINDOW by_time AS (
                    PARTITION BY sensor_id, fault ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
            ),
            usual AS
            (
                SELECT sensor_id, fault, quantileExactIf(0.5)(since_last, number > 1) AS interval_ms
                FROM paced GROUP BY sensor_id, fault
            ),
            numbered AS
            (
                SELECT sensor_id, fault, at, is_anomaly,
                    sum(number = 1 OR since_last > 10 * interval_ms) OVER (
                        PARTITION BY sensor_id, fault ORDER BY at
                        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS episode
                FROM paced INNER JOIN usual USING (sensor_id, fault)
            ),
            episodes AS
            (
                SELECT fault, min(at) AS began, countIf(is_anomaly) > 0 AS seen,
                    (minIf(at, is_anomaly) - began) / 1000 AS delay_s
                FROM numbered GROUP BY sensor_id, fault, episode
            )
        SELECT fault, count() AS faults, countIf(seen) AS found,
            quantileExactIfOrNull(0.5)(delay_s, seen) AS median_s, quantileExactIfOrNull(0.95)(delay_s, seen) AS p95_s,
            maxOrNullIf(delay_s, seen) AS longest_s
        FROM episodes GROUP BY fault ORDER BY faults DESC, fault"""
    )
    return told(found, ask, part)


def stored(ask: Ask) -> Table:
    """Seconds from a reading's event time until it was stored with its verdict, over time; whole seconds are known."""
    part = lately(ask)
    bucket_ms = part.scope.bucket_ms(_BARS)
    found = part.table(
        f"""
        SELECT fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(readings.time), {{bucket:Int64}})
                * {{bucket:Int64}}) AS at,
            greatest(0, quantileExact(0.5)(seconds)) AS median_s, greatest(0, quantileExact(0.95)(seconds)) AS p95_s
        FROM
        (
            SELECT readings.time, toUnixTimestamp(stored_at) - toUnixTimestamp64Milli(readings.time) / 1000 AS seconds
            FROM readings WHERE {part.scope.during()} AND {part.scope.chosen()}
        ) AS readings
        GROUP BY at ORDER BY at""",
        bucket=bucket_ms,
    )
    return told(found.with_about(bucket_ms=bucket_ms), ask, part)


def changes(ask: Ask) -> Table:
    """Drift, model changes, detectors left out, sensors forgotten; newest first, what is told alike of many at a time
    once."""
    return ask.table(
        f"""
        SELECT events_final.time AS time, kind, min(events_final.subject) AS subject, count() AS subjects, detail
        FROM events_final
        WHERE kind IN {{changes:Array(String)}} AND {ask.scope.during("events_final.time")}
        GROUP BY time, kind, detail ORDER BY time DESC, kind, subject LIMIT {_LISTED}""",
        changes=list(_CHANGES),
    )


def anomalies(ask: Ask) -> Table:
    """Flagged readings, newest first; at most one of a sensor in a minute."""
    newest = f"""
        SELECT sensor_id, max(readings.time) AS newest FROM readings {looked_at(ask)} AND is_anomaly
        GROUP BY sensor_id, toStartOfMinute(readings.time) ORDER BY newest DESC, sensor_id LIMIT {_LISTED}"""
    return ask.table(
        f"""
        WITH newest AS ({newest})
        SELECT readings.time AS time, sensor_id, sensor_type, location, value, unit, expected, score, label, flagged_by
        FROM readings FINAL
        PREWHERE sensor_id IN (SELECT sensor_id FROM newest) AND (sensor_id, readings.time) IN newest
        WHERE is_anomaly
        ORDER BY readings.time DESC, sensor_id
        LIMIT 1 BY sensor_id, readings.time"""
    )


DATASETS = (
    Dataset("verdicts", "how right each detector is", verdicts),
    Dataset("agreement", "pairs of detectors: what both flag, what one alone", agreement_),
    Dataset("rules_and_models", "rules together beside models together", rules_and_models_),
    Dataset("challengers", "challengers beside the verdict", challengers_),
    Dataset("flagged", "flagged readings over time", flagged),
    Dataset("scores", "readings by how surprising each detector found them", scores),
    Dataset("delays", "how soon faults are found", delays),
    Dataset("stored", "how soon verdicts are stored", stored),
    Dataset("changes", "drift and changes of models", changes),
    Dataset("anomalies", "flagged readings", anomalies),
    *anomaly.DATASETS,
)
