"""River's drift detectors by the adapter against River driven by hand."""

from typing import Any

import numpy as np
import pytest
from river import drift

from models.importing import KindError
from models.river_drift import RiverDrift

ADWIN: Any = drift.ADWIN  # River leaves it untyped
VALUES = np.concatenate([np.random.default_rng(1).normal(level, 0.2, (400, 2)) for level in (0.0, 2.0, -1.0)])


@pytest.mark.parametrize(
    ("kind", "params", "by_hand"),
    [
        ("ADWIN", {"delta": 0.01}, lambda: ADWIN(delta=0.01)),
        ("KSWIN", {"window_size": 60, "stat_size": 20}, lambda: drift.KSWIN(window_size=60, stat_size=20, seed=0)),
        ("PageHinkley", {"threshold": 10.0}, lambda: drift.PageHinkley(threshold=10.0)),
    ],
)
def test_drifts_are_rivers_own(kind: str, params: dict[str, Any], by_hand: Any) -> None:
    detector = RiverDrift(kind=f"river.drift.{kind}", params=params)
    detector.grow(2)
    models = [by_hand(), by_hand()]
    found = 0
    for row, values in enumerate(VALUES):
        drifted = detector.update(np.arange(2), values)
        for model, value in zip(models, values.tolist(), strict=True):
            model.update(value)
        assert drifted.tolist() == [model.drift_detected for model in models], row
        found += int(drifted.sum())
    assert found >= 4, "both sensors, both changes"


def test_a_state_fits_one_configuration() -> None:
    state = RiverDrift(kind="river.drift.ADWIN").state()
    with pytest.raises(ValueError, match=r"made with river = '0\.1'"):
        RiverDrift(kind="river.drift.ADWIN").load({**state, "river": "0.1"})
    with pytest.raises(ValueError, match=r"made with params = \{\}, this detector has \{'delta': 0\.1\}"):
        RiverDrift(kind="river.drift.ADWIN", params={"delta": 0.1}).load(state)


def test_memory_is_counted_where_river_cannot_look() -> None:
    """The buckets of ADWIN are in a compiled object."""
    detector = RiverDrift(kind="river.drift.ADWIN")
    detector.grow(2)
    assert detector.nbytes == 0
    for values in VALUES[:300]:
        detector.update(np.arange(2), values)
    assert 2 * 600 < detector.nbytes < 2 * 4000


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        ("river.drift.ADWN", {}, "has no 'ADWN'; did you mean ADWIN"),
        ("river.drift.ADWIN", {"detla": 1}, "no parameter 'detla'; it takes delta, "),
        ("river.drift.KSWIN", {"alpha": 2}, "ValueError: Alpha must be between 0 and 1."),
        ("river.drift.binary.DDM", {}, "DDM is not a detector of drift in numbers, but of errors, true or false; "),
        ("river.stats.Mean", {}, "Mean is not a detector of drift in numbers; river.drift holds them"),
        ("river.drift.ADWIN", {"clock": "a"}, "river.drift.ADWIN: "),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_built(kind: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(KindError) as caught:
        RiverDrift(kind=kind, params=params)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
