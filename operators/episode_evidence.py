"""What is behind an alert of a sensor: the reading with all that was said of it; and a sentence for people."""

from itertools import compress
from typing import NamedTuple

import msgspec

from operators.alert_rows import Evidence, clock_text, condition_text, known_numbers, length_text
from operators.alert_rules import AlertRule
from operators.batches import Flags, Floats, ReadingBatch, Series
from operators.detect import Verdicts


class Behind(NamedTuple):
    """One reading with all that was said of it, as arrays: to be kept costs little, to be told costs more.

    expected: with both ends. raw, surprise, chosen, features: of the detectors, of those who may flag, of the features
    as `names` has them.
    """

    time_ms: int
    value: float
    offset: int
    score: float
    expected: Floats
    raw: Floats
    surprise: Floats
    chosen: Flags
    features: Floats
    names: tuple[tuple[str, ...], ...]
    versions: str
    label: str

    @staticmethod
    def of(readings: ReadingBatch, verdicts: Verdicts, row: int) -> "Behind":
        """A row of a batch; shares nothing with it."""
        label = "" if readings.label is None else readings.label.values[readings.label.codes[row]]
        return Behind(
            int(readings.time_ms[row]),
            float(readings.value[row]),
            int(readings.offset[row]),
            float(verdicts.score[row]),
            verdicts.expected[row].copy(),
            verdicts.raw.values[row].copy(),
            verdicts.surprise.values[row].copy(),
            verdicts.flagged_by.chosen[row].copy(),
            verdicts.features.values[row].copy(),
            (verdicts.raw.keys, verdicts.flagged_by.names, verdicts.features.keys),
            verdicts.versions.values[verdicts.versions.codes[row]],
            label,
        )

    def brief(self) -> Evidence:
        """Time, epoch milliseconds, value, and score if it is known."""
        return {"time": self.time_ms, "value": self.value, **known_numbers(["score"], [self.score])}

    def told(self) -> Evidence:
        """As plain values; what is unknown is left out."""
        detectors, flagging, features = self.names
        found: Evidence = {
            **self.brief(),
            "offset": self.offset,
            **known_numbers(("expected", "expected_low", "expected_high"), self.expected.tolist()),
            "flagged_by": list(compress(flagging, self.chosen.tolist())),
            "scores": known_numbers(detectors, self.raw.tolist()),
            "surprises": known_numbers(detectors, self.surprise.tolist()),
            "features": known_numbers(features, self.features.tolist()),
        }
        if self.versions:
            found["model_versions"] = msgspec.json.decode(self.versions)
        if self.label:
            found["label"] = self.label
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
