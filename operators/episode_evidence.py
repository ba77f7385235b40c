"""What is behind an alert of a sensor: the reading with all that was said of it; and a sentence for people."""

from itertools import compress

import msgspec

from operators.alert_rows import Evidence, clock_text, condition_text, known_numbers, length_text
from operators.alert_rules import AlertRule
from operators.batches import ReadingBatch, Series
from operators.detect import Verdicts


def evidence_of(readings: ReadingBatch, verdicts: Verdicts, row: int) -> Evidence:
    """One reading as plain values; what is unknown is left out. time: epoch milliseconds."""
    flagged = compress(verdicts.flagged_by.names, verdicts.flagged_by.chosen[row].tolist())
    versions = verdicts.versions.values[verdicts.versions.codes[row]]
    expected, low, high = verdicts.expected[row].tolist()
    numbers = {"score": float(verdicts.score[row]), "expected": expected, "expected_low": low, "expected_high": high}
    found: Evidence = {
        "time": int(readings.time_ms[row]),
        "value": float(readings.value[row]),
        "offset": int(readings.offset[row]),
        **known_numbers(list(numbers), list(numbers.values())),
        "flagged_by": list(flagged),
    }
    for name, maps in (
        ("scores", verdicts.raw),
        ("surprises", verdicts.surprise),
        ("features", verdicts.features),
    ):
        found[name] = known_numbers(maps.keys, maps.values[row].tolist())
    if versions:
        found["model_versions"] = msgspec.json.decode(versions)
    if readings.label is not None and (label := readings.label.values[readings.label.codes[row]]):
        found["label"] = label
    return found


def reason_of(
    rule: AlertRule, series: Series, evidence: Evidence, start_ms: int, ended_ms: int | None, *, gone: bool = False
) -> str:
    """One sentence for people."""
    text = f"{series.sensor_id}: {condition_text(rule)} since {clock_text(start_ms)}"
    peak = evidence["peak"]
    if "value" in peak:
        text += f", value {peak['value']:g}"
        text += f" {series.unit}" if series.unit else ""
        if "expected" in peak:
            text += f" where {peak['expected']:.4g} was expected"
        if peak.get("score"):
            text += f", score {peak['score']:.3g}"
        if peak["flagged_by"]:
            text += f", flagged by {', '.join(peak['flagged_by'])}"
    if ended_ms is None:
        return text
    over = "no longer looked at" if gone else "over"
    return f"{text}; {over} after {length_text(ended_ms - start_ms)}"
