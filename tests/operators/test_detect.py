"""Detection: what happens to detectors whose state does not fit any more, and which rows teach."""

import numpy as np

from models.catalog import build
from operators.detect import Detection, NamedDetector
from operators.features import FEATURE_NAMES


def _detection(window: int) -> Detection:
    detector = build("models.rolling_z.RollingZ", FEATURE_NAMES, {"window": window, "min_samples": 2})
    detection = Detection([NamedDetector("z", "rule", 3.0, detector)])
    detection.grow(["temperature"], [""])
    return detection


def _judge(detection: Detection, values: list[float], teaches: list[bool] | None = None) -> list[float]:
    n = len(values)
    no, yes = np.zeros(n, np.bool_), np.ones(n, np.bool_)
    verdicts = detection.judge(
        slot=np.zeros(n, np.int64),
        time_ms=np.arange(n, dtype=np.int64),
        value=np.array(values),
        in_order=yes,
        teaches=yes if teaches is None else np.array(teaches),
        out_of_range=no,
        stuck=no,
    )
    scores: list[float] = verdicts.raw.values[:, 0].tolist()
    return scores


def test_a_detector_whose_parameters_changed_starts_afresh_and_says_so() -> None:
    old = _detection(window=10)
    _judge(old, [1.0, 2.0, 3.0, 4.0])
    new = _detection(window=20)
    afresh = new.load(old.snapshot())
    assert list(afresh) == ["z"]
    assert np.isnan(_judge(new, [5.0])).all(), "it warms up again"
    same = _detection(window=10)
    assert same.load(old.snapshot()) == {}
    assert np.isfinite(_judge(same, [5.0])).all()


def test_rows_that_do_not_teach_are_scored_but_leave_no_trace() -> None:
    taught, untaught = _detection(window=10), _detection(window=10)
    calm = [1.0, 2.0, 1.0, 2.0]
    _judge(taught, calm)
    scores = _judge(untaught, [*calm, 100.0], [True] * 4 + [False])
    assert scores[-1] > 3
    assert _judge(untaught, [1.5]) == _judge(taught, [1.5])


def test_one_batch_equals_readings_one_by_one() -> None:
    values = np.random.default_rng(1).normal(size=40).round(2).tolist()
    whole, single = _detection(window=5), _detection(window=5)
    np.testing.assert_array_equal(_judge(whole, values), [_judge(single, [value])[0] for value in values])
