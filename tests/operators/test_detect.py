"""Detection: features, scores, verdicts and learning as one, whatever the batches."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from models.detector import Detector
from operators.detect import Detection, Verdicts
from operators.panel import DriftWatch, NamedDetector, Role
from operators.verdict import Verdict
from tests.operators.detectors import Failing, Model, Plain, Refitted

CALM = np.abs(np.random.default_rng(1).normal(size=800)).round(3).tolist()
"""Values of a healthy sensor."""


def member(
    name: str,
    detector: Detector,
    *,
    role: Role = "model",
    threshold: float | None = None,
    drift: DriftWatch | None = None,
) -> NamedDetector:
    return NamedDetector(name, role, detector, threshold=threshold, drift=drift)


def detection(*members: NamedDetector, sensors: int = 1) -> Detection:
    weights = [float(one.role == "model") for one in members]
    made = Detection(members, verdict=Verdict(weights))
    made.enrol(np.arange(sensors), ["temperature"] * sensors, [""] * sensors)
    return made


class Feed:
    """Hands readings to a detection, a second apart."""

    def __init__(self, detection: Detection) -> None:
        self.detection = detection
        self.at = 0

    def __call__(self, values: Sequence[float], **flags: Any) -> Verdicts:
        n = len(values)
        time_ms = np.arange(self.at, self.at + n, dtype=np.int64) * 1000
        self.at += n
        no, yes = np.zeros(n, np.bool_), np.ones(n, np.bool_)
        given: dict[str, Any] = {"teaches": yes, "out_of_range": no, "stuck": no, "slot": np.zeros(n, np.int64)}
        given |= {name: np.array(flag) for name, flag in flags.items()}
        return self.detection.judge(time_ms=time_ms, value=np.array(values), watermark_ms=time_ms, **given)


def test_a_strange_reading_is_flagged_and_teaches_nothing() -> None:
    plain = Plain()
    feed = Feed(detection(member("p", plain)))
    feed(CALM)
    verdicts = feed([1.0, 80.0, 1.0])
    assert verdicts.is_anomaly.tolist() == verdicts.model.tolist()
    assert verdicts.model[1]
    assert not verdicts.rule.any()
    assert "p" in verdicts.flagged_by.tolist()[1]
    assert verdicts.score[1] > verdicts.score[0]
    assert verdicts.surprise.values[1, 0] > 3
    assert 80.0 not in plain.taught


def test_a_detector_may_learn_always() -> None:
    calm, always = Plain(), Plain()
    members = (member("calm", calm), NamedDetector("always", "model", always, learns="always"))
    feed = Feed(detection(*members))
    feed(CALM)
    assert feed([80.0, 1.0, 81.0], teaches=[True, True, False]).model[0]
    assert 80.0 in always.taught
    assert 80.0 not in calm.taught
    assert 81.0 not in always.taught, "out of order"


def test_rules_stand_beside_models_and_only_what_is_out_of_range_decides() -> None:
    feed = Feed(detection(member("z", Plain(), role="rule", threshold=2.0), member("p", Plain(scale=0.5))))
    feed(CALM)
    verdicts = feed([2.1, 0.1, 0.2, 0.3], out_of_range=[False, True, False, False], stuck=[False, False, True, False])
    assert verdicts.rule.tolist() == [True, True, True, False]
    assert verdicts.model.tolist() == [False] * 4
    assert verdicts.is_anomaly.tolist() == [False, True, False, False]
    assert verdicts.flagged_by.tolist() == [["z"], ["range"], ["stuck"], []]


def test_a_challenger_is_calibrated_and_has_no_say() -> None:
    feed = Feed(detection(member("p", Plain(scale=0.0)), member("new", Plain(), role="challenger")))
    feed(CALM)
    verdicts = feed([80.0])
    assert verdicts.flagged_by.tolist() == [["new"]]
    assert verdicts.surprise.values[0, 1] > 3
    assert not verdicts.is_anomaly.any()


def test_rows_that_do_not_teach_are_scored_but_leave_no_trace() -> None:
    taught, untaught = Plain(), Plain()
    one, other = Feed(detection(member("p", taught))), Feed(detection(member("p", untaught)))
    one(CALM)
    other([*CALM, 80.0], teaches=[True] * len(CALM) + [False])
    assert untaught.taught == taught.taught


def test_batches_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    values = [*CALM, *np.abs(rng.normal(size=300)).tolist(), 50.0, 60.0, *CALM[:100]]
    slots = rng.integers(3, size=len(values))
    teaches = rng.random(len(values)) < 0.9

    def made() -> Detection:
        return detection(member("p", Plain()), member("r", Refitted()), member("m", Model()), sensors=3)

    whole = Feed(made())(values, slot=slots, teaches=teaches)
    feed, parts = Feed(made()), []
    for begin in range(0, len(values), 7):
        part = slice(begin, begin + 7)
        parts.append(feed(values[part], slot=slots[part], teaches=teaches[part]))
        if begin % 5 == 0:
            again = made()
            assert again.load(feed.detection.snapshot()) == {}
            feed.detection = again
    for name in ("score", "is_anomaly", "expected"):
        np.testing.assert_array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))
    for name in ("raw", "surprise"):
        np.testing.assert_array_equal(
            np.concatenate([getattr(part, name).values for part in parts]), getattr(whole, name).values
        )
    assert [label for part in parts for label in part.versions.tolist()] == whole.versions.tolist()
    assert [one for part in parts for one in part.happenings] == whole.happenings
    assert len(whole.happenings) > 10


def test_models_change_between_the_rows_where_time_passes_their_step() -> None:
    refitted = Refitted()
    verdicts = Feed(detection(member("r", refitted)))([float(second) for second in range(1, 25)])
    assert refitted.times == [10_000, 20_000]
    assert verdicts.versions.tolist() == [""] * 10 + ['{"r":"10"}'] * 10 + ['{"r":"20"}'] * 4
    assert verdicts.raw.values[9:12, 0].tolist()[1:] == [11 / 10, 12 / 10]
    assert np.isnan(verdicts.raw.values[9, 0])
    told = [(one.kind, one.time_ms, one.detector, one.detail) for one in verdicts.happenings]
    assert told == [
        ("model_change", 10_000, "r (temperature)", "model 10"),
        ("model_change", 20_000, "r (temperature)", "model 20"),
    ]


def test_a_detector_that_fails_is_off_for_that_batch_and_the_others_go_on() -> None:
    feed = Feed(detection(member("good", Plain()), member("bad", Failing())))
    verdicts = feed([1.0, 13.0, 2.0])
    np.testing.assert_array_equal(verdicts.raw.values, [[1, 1], [13, np.nan], [2, np.nan]])
    assert [(one.kind, one.detector) for one in verdicts.happenings] == [("detector_off", "bad")]
    assert feed([3.0]).raw.values.tolist() == [[3, 3]]


@pytest.mark.parametrize("relearn", [False, True])
def test_drift_is_told_and_can_make_a_sensor_be_learnt_anew(relearn: bool) -> None:
    from models.catalog import build_drift

    plain = Plain()
    watch = DriftWatch(build_drift("river.drift.PageHinkley", {"threshold": 20.0, "delta": 0.2}), relearn)
    feed = Feed(detection(member("p", plain, drift=watch), sensors=2))
    assert feed(CALM).happenings == []
    told = feed([value + 3 for value in CALM[:100]]).happenings
    assert (told[0].kind, told[0].detector, told[0].slot) == ("drift", "p", 0)
    assert ("learnt anew" in told[0].detail) == relearn
    assert (0 in plain.forgotten) == relearn


def test_what_changed_since_the_snapshot_starts_with_a_fresh_calibration() -> None:
    feed = Feed(detection(member("m", Model()), member("p", Plain()), member("s", Plain(scale=1))))
    feed(CALM)
    again = detection(member("m", Model(version="2")), member("p", Plain()), member("s", Plain(scale=2)))
    changed = again.load(feed.detection.snapshot())
    assert set(changed) == {"m", "s"}
    feed.detection = again
    surprise = feed([0.5]).surprise.values[0]
    assert np.isnan(surprise).tolist() == [True, False, True]


def test_detectors_may_be_added_removed_and_reordered_and_the_others_go_on() -> None:
    feed = Feed(detection(member("p", Plain()), member("gone", Model()), member("q", Plain(scale=2))))
    feed(CALM)
    again = detection(member("q", Plain(scale=2)), member("new", Model()), member("p", Plain()))
    assert again.load(feed.detection.snapshot()) == {}
    before = feed([0.5]).surprise.values[0]
    feed.detection = again
    after = feed([0.5]).surprise.values[0]
    np.testing.assert_allclose(after[[2, 0]], before[[0, 2]], rtol=0.01)
    assert np.isnan(after[1])
