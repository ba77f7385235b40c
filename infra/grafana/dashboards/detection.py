"""Detection: what the detectors say, how right they are, and where they differ."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from infra.clickhouse.named import named_query
from infra.grafana import base, headlines
from infra.grafana.base import READINGS
from infra.grafana.panels import (
    QUALITY,
    Panel,
    columns,
    lines,
    matrix,
    number,
    rows,
)

AGREEMENT = ((None, "transparent"), (0.2, "light-blue"), (0.5, "blue"), (0.8, "dark-blue"))


def build() -> Dashboard:
    """The dashboard."""
    return base.board(
        "streamgauge-detection",
        "streamgauge / Detection",
        "What rules, models and challengers say of the readings, how right they are, where they differ. Reads readings:"
        " choose hours, not weeks.",
        variables=[base.location(), base.sensor_type(), base.groups()],
        annotations=[base.alerts(), base.changes()],
        sections=[
            ("", _headline()),
            ("", _over_time()),
            ("How right is each detector, beside the others?", _quality()),
            ("Scores", _scores()),
            ("One by one", _single()),
        ],
    )


def _headline() -> list[Panel]:
    return [
        headlines.share_of_anomalies(),
        *_verdict_quality(),
        number(
            "Rules and models agree",
            f"""
SELECT countIf(rule_anomaly = model_anomaly) / count() AS agreement
FROM readings_final
WHERE {READINGS}
""",
            about="Share of the readings on which the rules together say what the models together say.",
            unit="percentunit",
            history=False,
            decimals=2,
        ),
        number(
            "Drift",
            "SELECT count() AS drifts FROM events_final WHERE $__timeFilter(time) AND kind = 'drift'",
            about="Lasting changes of a sensor's scores that were noticed in the time range.",
            steps=((None, "green"), (1, "yellow")),
            history=False,
        ),
        number(
            "Detectors left out",
            "SELECT count() AS batches FROM events_final WHERE $__timeFilter(time) AND kind = 'detector_off'",
            about="Batches for which a detector failed and was left out; see the events.",
            steps=((None, "green"), (1, "red")),
            history=False,
        ),
    ]


def _verdict_quality() -> list[Panel]:
    hits = "countIf(is_anomaly AND label != 'normal')"
    labelled = f"FROM readings_final\nWHERE {READINGS}\n    AND label != ''"
    return [
        number(
            "Precision of the verdict",
            f"SELECT {hits} / nullIf(countIf(is_anomaly), 0) AS precision\n{labelled}",
            about="Of the labelled readings that were flagged, those that are faults. Empty where no truth is known.",
            unit="percentunit",
            steps=QUALITY,
            history=False,
            decimals=1,
        ),
        number(
            "Recall of the verdict",
            f"SELECT {hits} / nullIf(countIf(label != 'normal'), 0) AS recall\n{labelled}",
            about="Of the labelled readings that are faults, those that were flagged. Empty where no truth is known.",
            unit="percentunit",
            steps=QUALITY,
            history=False,
            decimals=1,
        ),
    ]


def _over_time() -> list[Panel]:
    return [
        lines(
            "Flagged by each detector",
            f"""
SELECT $__timeInterval(time) AS time, arrayJoin(flagged_by) AS series, count() AS flagged
FROM readings_final
WHERE {READINGS}
    AND notEmpty(flagged_by)
GROUP BY time, series
ORDER BY time, series
""",
            about="Readings that a detector flags by itself; challengers have no say in the verdict.",
            bars=True,
            legend="table",
            low=0,
            height=9,
        ),
        lines(
            "Verdict, rules, models",
            f"""
SELECT
    $__timeInterval(time) AS time,
    countIf(is_anomaly) AS verdict,
    countIf(rule_anomaly) AS rules,
    countIf(model_anomaly) AS models,
    countIf(label NOT IN ('', 'normal')) AS truth
FROM readings_final
WHERE {READINGS}
GROUP BY time
ORDER BY time
""",
            about="Flagged readings; truth is what the labels say, where there are any.",
            low=0,
            height=9,
        ),
    ]


def _quality() -> list[Panel]:
    shares = ("agreement", "precision", "recall", "f1")
    return [
        rows(
            "Precision and recall",
            _in_range("detector_quality", "detector, flagged, precision, recall, f1, agreement, hits, false_alarms"),
            about='Of the labelled readings. "= verdict" is the verdict, "= rules" and "= models" each together.',
            cells=dict.fromkeys(shares, QUALITY),
            widths={"detector": 150},
            width=13,
            height=12,
        ),
        matrix(
            "Agreement of detectors",
            "SELECT pair.1 AS detector, pair.2 AS beside, kappa\nFROM\n(\n"
            + _in_range("detector_agreement", "one, other, kappa")
            + "\n)\nARRAY JOIN [(one, other), (other, one)] AS pair\nORDER BY detector, beside",
            about="Cohen's kappa: agreement on flags beyond chance; 1 is perfect, 0 is chance.",
            row="detector",
            column="beside",
            value="kappa",
            steps=AGREEMENT,
            width=11,
            height=12,
        ),
    ]


def _scores() -> list[Panel]:
    return [
        columns(
            "How surprising readings are",
            f"""
SELECT
    toString(least(12, floor(highest))) AS surprise,
    countIf(label IN ('', 'normal')) AS usual,
    countIf(label NOT IN ('', 'normal')) AS faulty
FROM
(
    SELECT arrayMax(arrayMap(one -> ifNotFinite(one, 0), mapValues(surprises))) AS highest, label
    FROM readings_final
    WHERE {READINGS}
        AND notEmpty(mapValues(surprises))
)
GROUP BY least(12, floor(highest)) AS bucket
ORDER BY bucket
""",
            about="Readings by the largest surprise of their detectors: -log10 of its chance in the sensor's own past."
            " 12 is 12 or more. The scale is logarithmic.",
            name="surprise",
            logarithmic=True,
        ),
        lines(
            "Novelty score",
            f"""
SELECT
    $__timeInterval(time) AS time,
    maxIf(score, isFinite(score)) AS highest,
    quantileIf(0.99)(score, isFinite(score)) AS `99 % below`
FROM readings_final
WHERE {READINGS}
GROUP BY time
HAVING isFinite(`99 % below`)
ORDER BY time
""",
            about="How new the newest moments are beside all that the sensors have shown; ranks what to look at.",
            low=0,
            height=9,
        ),
    ]


def _single() -> list[Panel]:
    return [
        rows(
            "Anomalies, newest first",
            f"""
SELECT time, sensor_id, location, value, unit, expected, score, label, arrayStringConcat(flagged_by, ', ') AS flagged_by
FROM readings_final
WHERE {READINGS}
    AND is_anomaly
ORDER BY time DESC, sensor_id
LIMIT 200
""",
            about="A sensor's name leads to its values; `streamgauge explain-reading SENSOR TIME` shows one in full.",
            link=True,
            width=14,
            height=11,
        ),
        rows(
            "Rules beside models",
            f"""
SELECT
    location,
    sensor_type,
    countIf(rule_anomaly AND model_anomaly) AS both,
    countIf(rule_anomaly AND NOT model_anomaly) AS only_rules,
    countIf(model_anomaly AND NOT rule_anomaly) AS only_models,
    count() AS readings
FROM readings_final
WHERE {READINGS}
GROUP BY location, sensor_type
ORDER BY only_rules + only_models DESC, location, sensor_type
""",
            about="Where they differ most: many only by rules hint at limits that are too narrow.",
            width=10,
            height=11,
        ),
        lines(
            "Assets, judged together",
            """
SELECT
    $__timeInterval(time) AS time,
    if(asset_id = '', location, asset_id) AS series,
    max(asset_verdicts_final.score) AS highest
FROM asset_verdicts_final
WHERE $__timeFilter(asset_verdicts_final.time)
GROUP BY time, series
ORDER BY time, series
""",
            about="Surprise of an asset's sensors together; 3.5 raises an alarm, unless configured otherwise.",
            steps=((None, "transparent"), (3.5, "red")),
            low=0,
            width=12,
        ),
        rows(
            "Drift and model changes",
            """
SELECT time, kind, subject, detail
FROM events_final
WHERE $__timeFilter(events_final.time) AND kind IN ('drift', 'model_change', 'detector_off', 'evicted')
ORDER BY time DESC
LIMIT 200
""",
            about="Events of the models, newest first.",
            widths={"time": 165, "kind": 110, "subject": 180},
            width=12,
            height=8,
        ),
    ]


def _in_range(name: str, columns: str) -> str:
    """A named query for the time range and the chosen places, some of its columns."""
    sql = named_query(name).sql
    for old, new in (
        ("time >= {since:DateTime64(3, 'UTC')} AND time < {until:DateTime64(3, 'UTC')}", "$__timeFilter(time)"),
        (
            "({location:String} = '' OR location = {location:String})",
            "$__conditionalAll(location IN (${location:singlequote}), $location)",
        ),
        (
            "({sensor_type:String} = '' OR sensor_type = {sensor_type:String})",
            "$__conditionalAll(sensor_type IN (${sensor_type:singlequote}), $sensor_type)",
        ),
    ):
        if old not in sql:
            raise ValueError(f"the named query {name} has no filter {old}")
        sql = sql.replace(old, new)
    return f"SELECT {columns}\nFROM\n(\n{sql}\n)"
