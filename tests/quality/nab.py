"""The Numenta Anomaly Benchmark's rule: what scores over labelled files are worth, from 0 (none) to 100 (perfect).

Lavin, Ahmad: Evaluating real-time anomaly detection algorithms (2015), section 3, and the data's README.

    weight                     the earliest record at or above the threshold counts for its window: +1 at the left
    +1 -----.                  edge, 0 at the right one; a window without any costs `missed`. Each record at or above
             \\                 the threshold outside of windows costs `false_alarm`, less just after a window.
     0 ---window---.----->
    -1              `-----     Records in probation do not count. One threshold for all files.
"""

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "nab"


@dataclass(frozen=True, slots=True)
class Profile:
    """What mistakes cost, where a window found at its left edge gains 1."""

    false_alarm: float
    missed: float


PROFILES = {
    "standard": Profile(false_alarm=0.11, missed=1.0),
    "low_fp": Profile(false_alarm=0.22, missed=1.0),
    "low_fn": Profile(false_alarm=0.11, missed=2.0),
}


class NoDataError(Exception):
    """The benchmark's files are not where they should be; the message is one line for people."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Of one file. windows: [first, last] row of each anomaly, both inside, in order."""

    rows: int
    probation_rows: int
    windows: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class File:
    """One series; `name` holds its category: "realKnownCause/nyc_taxi.csv". Times that name no zone count as UTC."""

    name: str
    time_ms: npt.NDArray[np.int64]
    values: Floats
    labels: Labels


@dataclass(frozen=True, slots=True)
class Scored:
    """A score of up to 100, and the threshold it holds for: a record alarms at or above it."""

    score: float
    threshold: float


def load(data: Path = DATA) -> list[File]:
    """All files, in order of their names. Raises NoDataError."""
    path = data / "labels.json"
    if not path.is_file():
        raise NoDataError(f"no NAB data: {path} is not there")
    return [_file(data, name, entry) for name, entry in sorted(json.loads(path.read_text()).items())]


def _file(data: Path, name: str, entry: Mapping[str, object]) -> File:
    with gzip.open(data / f"{name}.gz", "rt", encoding="utf-8") as lines:
        next(lines)
        cells = [line.strip().split(",") for line in lines]
    times = np.array([time for time, _ in cells], "datetime64[ms]").astype(np.int64)
    windows = np.array(entry["window_rows"], np.int64).reshape(-1, 2).tolist()
    labels = Labels(len(cells), int(str(entry["probation_rows"])), tuple((first, last) for first, last in windows))
    return File(name, times, np.array([float(value) for _, value in cells]), labels)


def score_corpus(scores: Mapping[str, Floats], labels: Mapping[str, Labels]) -> dict[str, Scored]:
    """Per profile the best score over all files with one threshold, and that threshold.

    scores: (rows,) of each file; NaN never alarms. The score "never" has the threshold infinity.
    """
    return {name: _best(_curve(scores, labels, profile)) for name, profile in PROFILES.items()}


def score_at(scores: Mapping[str, Floats], labels: Mapping[str, Labels], *, profile: str, threshold: float) -> float:
    """The score with a threshold chosen elsewhere. NaN for files without any window."""
    curve = _curve(scores, labels, PROFILES[profile])
    alarms = np.flatnonzero(curve.thresholds >= threshold)
    return float(curve.scores[alarms[-1]]) if len(alarms) else curve.never


def threshold_range(
    scores: Mapping[str, Floats], labels: Mapping[str, Labels], *, profile: str, within: float
) -> tuple[float, float]:
    """The lowest and the highest threshold that score at most `within` below the best one: how flat the optimum is."""
    curve = _curve(scores, labels, PROFILES[profile])
    good = curve.thresholds[curve.scores >= _best(curve).score - within]
    return (float(good.min()), float(good.max())) if len(good) else (np.inf, np.inf)


@dataclass(frozen=True, slots=True)
class _Curve:
    """The score for each threshold, falling; `never` is that of no alarm at all."""

    thresholds: Floats
    scores: Floats
    never: float


def _best(curve: _Curve) -> Scored:
    if not len(curve.scores) or curve.scores.max() <= curve.never:
        return Scored(curve.never, np.inf)
    place = int(np.argmax(curve.scores))
    return Scored(float(curve.scores[place]), float(curve.thresholds[place]))


def _curve(scores: Mapping[str, Floats], labels: Mapping[str, Labels], profile: Profile) -> _Curve:
    parts = [_changes(scores[name], one, profile) for name, one in labels.items()]
    thresholds = np.concatenate([threshold for threshold, _ in parts])
    changes = np.concatenate([change for _, change in parts])
    order = np.argsort(-thresholds, kind="stable")
    thresholds, totals = thresholds[order], np.cumsum(changes[order])
    last_of_ties = np.append(thresholds[1:] != thresholds[:-1], True) if len(thresholds) else np.empty(0, np.bool_)
    windows = sum(len(one.windows) for one in labels.values())
    never, perfect = -profile.missed * windows, float(windows)
    scale = 100.0 / (perfect - never) if windows else np.nan
    return _Curve(thresholds[last_of_ties], totals[last_of_ties] * scale, 0.0 * scale)


def _changes(scores: Floats, labels: Labels, profile: Profile) -> tuple[Floats, Floats]:
    """Of one file: scores that alarm when the threshold falls to them, and what each then adds to the total."""
    if len(scores) != labels.rows:
        raise ValueError(f"{len(scores)} scores for {labels.rows} rows")
    worth, window = weights(labels)
    known = ~np.isnan(scores) & (np.arange(labels.rows) >= labels.probation_rows)
    outside = known & (window < 0)
    found, added = [scores[outside]], [worth[outside] * profile.false_alarm]
    for number in range(len(labels.windows)):
        rows = np.flatnonzero(known & (window == number))
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        best_yet = np.maximum.accumulate(np.append(-profile.missed, worth[rows]))
        found.append(scores[rows])
        added.append(np.diff(best_yet))
    return np.concatenate(found), np.concatenate(added)


def weights(labels: Labels) -> tuple[Floats, npt.NDArray[np.int64]]:
    """(rows,) what an alarm at a row is worth, 1 .. -1, and the number of the window it is in, -1 for none."""
    worth, window = np.full(labels.rows, -1.0), np.full(labels.rows, -1, np.int64)
    for number, (first, last) in enumerate(labels.windows):
        width = last - first + 1
        rows = np.arange(first, labels.rows)
        position = (rows - last - 1) / width
        after = rows > last
        position[after] = (rows[after] - last) / max(width - 1, 1)
        worth[rows] = np.where(after, _sigmoid(position), _sigmoid(position) / _sigmoid(np.array([-1.0])))
        window[first:] = -1
        window[first : last + 1] = number
    return worth, window


def _sigmoid(position: Floats) -> Floats:
    """The benchmark's scaled sigmoid: -1 .. 0 within a window, above 0 after it."""
    return np.where(position > 3.0, -1.0, 2.0 / (1.0 + np.exp(5.0 * np.minimum(position, 3.0))) - 1.0)


def blind_clock(labels: Mapping[str, Labels], *, every: int = 600) -> dict[str, Floats]:
    """Scores of a clock that alarms every so many records, without looking at the data: the floor of meaning."""
    return {name: (np.arange(one.rows) % every == every - 1).astype(np.float64) for name, one in labels.items()}


def by_category(names: Iterable[str]) -> dict[str, list[str]]:
    """File names by their category."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name.partition("/")[0], []).append(name)
    return found
