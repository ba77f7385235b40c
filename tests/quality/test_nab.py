"""The NAB rule: against its definition written out plainly, at its fixed points, and on the data given."""

import math
from pathlib import Path

import numpy as np
import pytest

from tests.quality import nab
from tests.quality.nab import PROFILES, Labels

LABELS = {
    "a/one.csv": Labels(100, 15, ((40, 49), (80, 99))),
    "a/none.csv": Labels(60, 9, ()),
    "b/early.csv": Labels(50, 7, ((5, 9), (30, 30))),
}


def sigmoid(position: float) -> float:
    return -1.0 if position > 3 else 2 / (1 + math.exp(5 * position)) - 1


def plainly(scores: dict[str, nab.Floats], threshold: float, *, profile: str) -> float:
    """Section 3 of the paper, record by record."""
    costs = PROFILES[profile]
    total, count = 0.0, 0
    for name, labels in LABELS.items():
        found = [-costs.missed] * len(labels.windows)
        count += len(labels.windows)
        for row in range(labels.probation_rows, labels.rows):
            if not scores[name][row] >= threshold:
                continue
            inside = [i for i, (first, last) in enumerate(labels.windows) if first <= row <= last]
            before = [(first, last) for first, last in labels.windows if last < row]
            if inside:
                first, last = labels.windows[inside[0]]
                worth = sigmoid(-(last - row + 1) / (last - first + 1)) / sigmoid(-1)
                found[inside[0]] = max(found[inside[0]], worth)
            elif before:
                first, last = before[-1]
                total += costs.false_alarm * sigmoid((row - last) / max(last - first, 1))
            else:
                total -= costs.false_alarm
        total += sum(found)
    worst = -costs.missed * count
    return 100 * (total - worst) / (count - worst)


def noise(seed: int) -> dict[str, nab.Floats]:
    rng = np.random.default_rng(seed)
    return {name: np.round(rng.random(one.rows), 2) for name, one in LABELS.items()}


@pytest.mark.parametrize("profile", PROFILES)
def test_equals_the_rule_written_out_plainly(profile: str) -> None:
    for seed in range(4):
        scores = noise(seed)
        scores["a/one.csv"][::7] = np.nan
        at = {t: plainly(scores, t, profile=profile) for t in [*np.arange(0, 1.01, 0.01).round(2), math.inf]}
        for threshold, expected in at.items():
            got = nab.score_at(scores, LABELS, profile=profile, threshold=threshold)
            assert got == pytest.approx(expected, abs=1e-9)
        best = nab.score_corpus(scores, LABELS)[profile]
        assert best.score == pytest.approx(max(at.values()), abs=1e-9)
        assert at[best.threshold] == pytest.approx(best.score, abs=1e-9)


def test_never_is_0_and_perfect_is_100() -> None:
    never = {name: np.zeros(one.rows) * np.nan for name, one in LABELS.items()}
    labels = LABELS | {"b/early.csv": Labels(50, 5, ((5, 9), (30, 30)))}
    perfect = {name: np.zeros(one.rows) for name, one in labels.items()}
    for name, one in labels.items():
        perfect[name][[first for first, _ in one.windows]] = 1.0
    for profile in PROFILES:
        assert nab.score_corpus(never, LABELS)[profile] == nab.Scored(0.0, math.inf)
        best = nab.score_corpus(perfect, labels)[profile]
        assert (round(best.score, 9), best.threshold) == (100.0, 1.0)


def test_missing_every_window_and_crying_wolf_is_below_never() -> None:
    always = {name: np.ones(one.rows) for name, one in LABELS.items()}
    assert nab.score_at(always, LABELS, profile="low_fp", threshold=1.0) < 0
    assert nab.score_corpus(always, LABELS)["low_fp"] == nab.Scored(0.0, math.inf)


def test_a_flat_optimum_is_told_from_a_sharp_one() -> None:
    scores = {name: np.zeros(one.rows) for name, one in LABELS.items()}
    scores["a/one.csv"][40] = 5.0
    scores["a/one.csv"][60] = 2.0
    assert nab.threshold_range(scores, LABELS, profile="standard", within=0.1) == (5.0, 5.0)
    assert nab.threshold_range(scores, LABELS, profile="standard", within=2.0) == (2.0, 5.0)


def test_data_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(nab.NoDataError, match=r"^no NAB data: .*labels\.json is not there$"):
        nab.load(tmp_path)


def test_scores_must_fit_the_file() -> None:
    with pytest.raises(ValueError, match="59 scores for 60 rows"):
        nab.score_corpus(noise(0) | {"a/none.csv": np.zeros(59)}, LABELS)


def test_a_blind_clock_scores_about_26_of_100_on_the_data() -> None:
    """Published labels cover a tenth of the time; on the part of the corpus given here it is a little less."""
    try:
        labels = {file.name: file.labels for file in nab.load()}
    except nab.NoDataError as missing:
        pytest.skip(str(missing))
    assert sum(len(one.windows) for one in labels.values()) == 49
    assert set(nab.by_category(labels)) == {"artificialNoAnomaly", "realAWSCloudwatch", "realKnownCause"}
    clock = nab.score_corpus(nab.blind_clock(labels), labels)
    assert 20 < clock["standard"].score < 28
    assert clock["low_fp"].score < clock["standard"].score < clock["low_fn"].score
