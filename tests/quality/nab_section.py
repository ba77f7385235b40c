"""NAB: the verdict beside each detector alone, River out of the box and a blind clock."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from flows.settings import Settings
from models.detector import Batch
from models.river_adapter import RiverDetector
from operators.batches import Series
from operators.verdict import Verdict, Voice
from tests.quality import nab
from tests.quality.nab import PROFILES, File, Labels
from tests.quality.report import Section, Table, Target, number
from tests.quality.runs import Advance, Ints, Said, judge

Floats = npt.NDArray[np.float64]
Scores = Mapping[str, Floats]
"""(rows,) by file name."""

QUICK_FILES = 4
WITHIN = 1.0
"""Thresholds that score at most so much below the best one count as good."""
FIRST_STEP, WANTED = 65.0, 70.0

RIVER: dict[str, tuple[str, dict[str, object]]] = {
    "GaussianScorer": ("river.anomaly.GaussianScorer", {}),
    "HalfSpaceTrees, scaled": (
        "river.compose.Pipeline",
        {"steps": [{"kind": "river.preprocessing.MinMaxScaler"}, {"kind": "river.anomaly.HalfSpaceTrees"}]},
    ),
    "StandardAbsoluteDeviation": ("river.anomaly.StandardAbsoluteDeviation", {}),
}
"""As River makes them, on the plain value: kind and parameters."""


def load(*, quick: bool) -> list[File]:
    """The files, or a few of them from all over. Raises NoDataError."""
    files = nab.load()
    return files[:: len(files) // QUICK_FILES + 1] if quick else files


def readings(files: Sequence[File]) -> int:
    """How far the progress goes: each reading is judged once by the flow, and once by each of River's."""
    return sum(len(file.values) for file in files) * (1 + len(RIVER))


def section(settings: Settings, files: Sequence[File], advance: Advance) -> Section:
    """Everything about these files."""
    labels = {file.name: file.labels for file in files}
    said = {file.name: _judge(settings, file, advance) for file in files}
    score = {name: one.score for name, one in said.items()}
    rows = [_row("verdict: score", score, labels), _alarm_row(said, labels)]
    for title, (kind, params) in RIVER.items():
        rows.append(_row(f"River {title}", _river(kind, params, files, advance), labels))
    rows.append(_row("a blind clock", nab.blind_clock(labels), labels))
    table = Table(
        f"NAB: {len(files)} files, one configuration, one threshold",
        ("", "standard", "low FP", "low FN", "threshold"),
        tuple(rows),
    )
    best = nab.score_corpus(score, labels)["standard"]
    low, high = nab.threshold_range(score, labels, profile="standard", within=WITHIN)
    us = float(np.average([one.us for one in said.values()], weights=[len(one.score) for one in said.values()]))
    return Section(
        (table, _categories(score, labels, best.threshold), _alone(settings, said, files, labels)),
        tuple(
            Target(f"NAB standard score, {name}", best.score, limit, style=".1f")
            for name, limit in (("first step", FIRST_STEP), ("whole corpus", WANTED))
        ),
        (
            "Threshold: the best one for the standard profile. For the verdict's score all from "
            f"{low:.2f} to {high:.2f} lose at most {WITHIN:g} point. River's detectors learn everything, out of the "
            "box, on the plain value; ours alone what the verdict of all lets them learn. As the only voice: "
            "calibrated, smoothed and cooled down as by the verdict, but without the others.",
            f"The whole sensor step took {us:.0f} µs CPU for each reading; a file has one sensor, so each is a round "
            "by itself.",
        ),
    )


def _judge(settings: Settings, file: File, advance: Advance) -> Said:
    sensor = np.zeros(len(file.values), np.int64)
    return judge(settings, [Series("value", "value")], sensor, file.time_ms, file.values, scores=True, advance=advance)


def _row(title: str, scores: Scores, labels: Mapping[str, Labels]) -> tuple[str, ...]:
    found = nab.score_corpus(scores, labels)
    return (
        title,
        *(number(found[profile].score) for profile in PROFILES),
        number(found["standard"].threshold, ".3g") or "never",
    )


def _alarm_row(said: Mapping[str, Said], labels: Mapping[str, Labels]) -> tuple[str, ...]:
    """No threshold is looked for: an alarm of the flow counts where it begins."""
    begins = {name: np.diff(one.is_anomaly.astype(np.float64), prepend=0.0) for name, one in said.items()}
    scores = (number(nab.score_at(begins, labels, profile=profile, threshold=1.0)) for profile in PROFILES)
    return ("verdict: start of alarms", *scores, "")


def _river(kind: str, params: dict[str, object], files: Sequence[File], advance: Advance) -> Scores:
    """Scores of one of River's detectors; it learns each reading after scoring it. All files side by side."""
    detector = RiverDetector(("value",), kind=kind, params=params)
    detector.grow(len(files))
    scores = _SideBySide([np.full(len(file.values), np.nan) for file in files])
    times, values = _SideBySide([file.time_ms for file in files]), _SideBySide([file.values for file in files])
    for row, slots in times.rows():
        value = values.at(row, slots)
        batch = Batch(slots, times.at(row, slots), value, value[:, None], np.zeros(len(slots), np.int64), slots)
        scores.put(row, slots, detector.score(batch))
        detector.learn(batch)
        advance(len(slots))
    return dict(zip((file.name for file in files), scores.columns, strict=True))


def _alone(settings: Settings, said: Mapping[str, Said], files: Sequence[File], labels: Mapping[str, Labels]) -> Table:
    """Each detector by itself, by three kinds of scores."""
    rows = []
    for detector in settings.detectors:
        raw = {file: one.raw[detector.name] for file, one in said.items()}
        surprise = {file: one.surprise[detector.name] for file, one in said.items()}
        alone = _only_voice(raw, files, Voice(calibrated=detector.calibrated))
        found = (nab.score_corpus(one, labels)["standard"].score for one in (alone, surprise, raw))
        rows.append((detector.name, *map(number, found)))
    columns = ("standard score", "as the only voice", "surprise", "raw")
    return Table("NAB: each detector alone", columns, tuple(rows))


def _only_voice(raw: Scores, files: Sequence[File], voice: Voice) -> Scores:
    """A verdict's scores, were there only this detector."""
    verdict = Verdict([voice])
    verdict.grow(len(files))
    scores = _SideBySide([np.full(len(file.values), np.nan) for file in files])
    numbers, times = _SideBySide([raw[file.name] for file in files]), _SideBySide([file.time_ms for file in files])
    newer = _SideBySide([np.diff(np.maximum.accumulate(file.time_ms), prepend=-1) > 0 for file in files])
    for row, slots in times.rows():
        judged = verdict.judge(slots, times.at(row, slots), numbers.at(row, slots)[:, None], newer.at(row, slots))
        scores.put(row, slots, judged.score)
    return dict(zip((file.name for file in files), scores.columns, strict=True))


class _SideBySide:
    """One column of several files, row by row of all that are long enough; a file's number is its slot."""

    def __init__(self, columns: Sequence[npt.NDArray[Any]]) -> None:
        self.columns = columns

    def rows(self) -> Iterator[tuple[int, Ints]]:
        """Each row, and the slots that have it."""
        lengths = np.array([len(one) for one in self.columns])
        for row in range(lengths.max()):
            yield row, np.flatnonzero(lengths > row)

    def at(self, row: int, slots: Ints) -> npt.NDArray[Any]:
        """(k,) of these slots in that row."""
        return np.array([self.columns[slot][row] for slot in slots.tolist()])

    def put(self, row: int, slots: Ints, values: Floats) -> None:
        """Set them."""
        for slot, value in zip(slots.tolist(), values.tolist(), strict=True):
            self.columns[slot][row] = value


def _categories(scores: Scores, labels: Mapping[str, Labels], threshold: float) -> Table:
    rows = []
    for category, names in nab.by_category(labels).items():
        mine = {name: labels[name] for name in names}
        found, false = 0, 0
        for name, one in mine.items():
            _, window = nab.weights(one)
            alarms = np.flatnonzero(scores[name] >= threshold)
            alarms = alarms[alarms >= one.probation_rows]
            found += len(set(window[alarms].tolist()) - {-1})
            false += int((window[alarms] < 0).sum())
        rows.append(
            (
                category,
                str(len(mine)),
                f"{found} of {sum(len(one.windows) for one in mine.values())}",
                str(false),
                *(number(nab.score_at(scores, mine, profile=name, threshold=threshold)) for name in PROFILES),
            )
        )
    columns = ("", "files", "found", "false", "standard", "low FP", "low FN")
    return Table("NAB by category, by the threshold above: windows found, false alarms, score", columns, tuple(rows))
