"""The panel of detectors: what each is given, models that change at event times, detectors that fail."""

import numpy as np
import pytest

from models.detector import Batch, Detector, Floats
from operators.features import FEATURE_NAMES, Vectors
from operators.panel import Given, Happening, NamedDetector, Panel, Role
from tests.operators.detectors import Failing, Model, Plain, Refitted, WrongShape

N = len(FEATURE_NAMES)


def named(name: str, detector: Detector, *features: str, role: Role = "model", scaled: bool = True) -> NamedDetector:
    return NamedDetector(name, role, detector, features, scaled=scaled)


def panel_of(*detectors: NamedDetector) -> Panel:
    panel = Panel(detectors, FEATURE_NAMES)
    panel.grow(3)
    return panel


def given(panel: Panel, *values: float, time_ms: int = 0) -> Given:
    """One reading of each of the first sensors."""
    n = len(values)
    slots = np.arange(n)
    batch = Batch(slots, np.full(n, time_ms), np.array(values), np.empty((n, 0)), np.zeros(n, np.int64), slots)
    raw = np.arange(n * N, dtype=np.float64).reshape(n, N)
    return panel.given(batch, Vectors(raw, raw / 1000))


def same(found: Floats, wanted: list[list[float]]) -> None:
    np.testing.assert_array_equal(found, wanted)


def test_each_detector_is_given_the_features_it_names() -> None:
    one, other, none = Plain(), Plain(), Plain()
    panel = panel_of(
        named("one", one, "delta", "value"), named("other", other, "value", scaled=False), named("none", none)
    )
    same(panel.score(given(panel, 1.0, 2.0)), [[1, 1, 1], [2, 2, 2]])
    same(one.seen[0], [[0.001, 0], [(N + 1) / 1000, N / 1000]])
    same(other.seen[0], [[0], [N]])
    assert none.seen[0].shape == (2, 0)


@pytest.mark.parametrize("kind", [Failing, WrongShape])
def test_a_detector_that_fails_is_off_until_the_next_batch_and_told_once(kind: type[Plain]) -> None:
    good, bad = Plain(), kind()
    panel = panel_of(named("good", good), named("bad", bad))
    same(panel.score(given(panel, 1.0, 13.0, time_ms=7)), [[1, np.nan], [13, np.nan]])
    same(panel.score(given(panel, 2.0)), [[2, np.nan]])
    panel.learn(given(panel, 2.0), given(panel, 2.0))
    assert (good.taught, bad.taught) == ([2.0], [])
    (told,) = panel.begin()
    assert (told.kind, told.time_ms, told.detector, told.slot) == ("detector_off", 7, "bad", -1)
    assert told.detail.startswith("off for this batch: ")
    assert "\n" not in told.detail
    same(panel.score(given(panel, 3.0)), [[3, 3]])
    assert panel.begin() == []


def test_an_infinite_score_is_none() -> None:
    panel = panel_of(named("p", Plain(scale=1e300)))
    with np.errstate(over="ignore"):
        same(panel.score(given(panel, 1e300, 0.0)), [[np.nan], [0]])


def test_models_change_where_the_watermark_passes_their_times() -> None:
    often, seldom = Refitted(), Refitted()
    seldom.step_ms = 30_000
    panel = panel_of(named("often", often), named("seldom", seldom))
    watermark = np.array([11_000, 12_000, 19_999, 20_000, 20_500, 61_000], np.int64)
    assert panel.cuts(watermark, 9_000).tolist() == [0, 3, 5]
    assert panel.cuts(watermark, 10_000).tolist() == [3, 5]
    panel.learn(given(panel, 4.0), given(panel, 4.0))
    panel.advance(12_000, 20_000, ["temperature"])
    assert panel.begin() == [Happening("model_change", 20_000, "model 4", "often (temperature)")]
    panel.advance(20_000, 61_000, [""])
    assert (often.times, seldom.times) == ([20_000, 60_000], [60_000])
    assert [told.detector for told in panel.begin()] == ["often", "seldom"]
    assert panel.versions(2) == ['{"often":"4","seldom":"4"}', ""]


def test_the_first_that_forecasts_says_what_is_expected() -> None:
    panel = panel_of(named("p", Plain()), named("m", Model()))
    expected = np.full((2, 3), np.nan)
    panel.expected(given(panel, 1.0, 2.0), expected)
    same(expected, [[5, 4, 6], [5, 4, 6]])


def test_states_are_kept_by_name_and_what_does_not_go_on_is_told() -> None:
    panel = panel_of(
        named("kept", Plain()), named("other", Plain(scale=1)), named("m", Model()), named("gone", Plain())
    )
    panel.learn(given(panel, 1.0), given(panel, 1.0))
    kept, other, model, new = Plain(), Plain(scale=2), Model(version="2"), Plain()
    changed = panel_of(named("new", new), named("m", model), named("kept", kept), named("other", other)).load(
        panel.snapshot()
    )
    assert set(changed) == {"m", "other"}
    assert changed["m"] == "model 1 replaced by 2"
    assert changed["other"].startswith("starts afresh: the state was made with scale = 1")
    assert (kept.taught, model.taught, other.taught, new.taught) == ([1.0], [1.0], [], [])
