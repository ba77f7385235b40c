"""Verdicts against ground truth: row by row, and episode by episode."""

from dataclasses import dataclass
from math import nan

import numpy as np

from operators.batches import Flags, Ints

_DAY_MS = 86_400_000
_WEEK_MS = 7 * _DAY_MS


@dataclass(frozen=True, slots=True)
class Metrics:
    """rows: judged. The counts are of rows; NaN where a ratio has nothing to divide by.

    far: false alarm rate, FP / (FP + TN). mar: missed alarm rate, FN / (FN + TP).
    episodes: stretches of labelled rows; found: those in which a row is flagged; delay_ms: median time from an
        episode's first row to the first flagged one, of those found.
    false_episodes: stretches of flagged rows without a labelled one; also for 1000 rows, and for a week of event time
        (NaN for less than a day, too little to say what a week would hold).
    """

    rows: int
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int
    precision: float
    recall: float
    f1: float
    far: float
    mar: float
    episodes: int
    found: int
    delay_ms: float
    false_episodes: int
    false_episodes_per_1000_rows: float
    false_episodes_per_week: float


def measure(*, time_ms: Ints, labelled: Flags, flagged: Flags) -> Metrics:
    """Metrics of rows in their order, those that are not to be judged left out beforehand."""
    rows = len(time_ms)
    tp = int(np.count_nonzero(flagged & labelled))
    fp = int(np.count_nonzero(flagged & ~labelled))
    fn = int(np.count_nonzero(~flagged & labelled))
    tn = rows - tp - fp - fn
    delays = [
        time_ms[begin + int(np.argmax(flagged[begin:end]))] - time_ms[begin]
        for begin, end in stretches(labelled)
        if flagged[begin:end].any()
    ]
    false_episodes = sum(not labelled[begin:end].any() for begin, end in stretches(flagged))
    span_ms = int(time_ms.max()) - int(time_ms.min()) if rows else 0
    weeks = span_ms / _WEEK_MS if span_ms >= _DAY_MS else 0.0
    return Metrics(
        rows,
        tp,
        fp,
        fn,
        tn,
        precision=_ratio(tp, tp + fp),
        recall=_ratio(tp, tp + fn),
        f1=_ratio(2 * tp, 2 * tp + fp + fn),
        far=_ratio(fp, fp + tn),
        mar=_ratio(fn, fn + tp),
        episodes=len(stretches(labelled)),
        found=len(delays),
        delay_ms=float(np.median(delays)) if delays else nan,
        false_episodes=false_episodes,
        false_episodes_per_1000_rows=_ratio(1000 * false_episodes, rows),
        false_episodes_per_week=_ratio(false_episodes, weeks),
    )


def stretches(flags: Flags) -> list[tuple[int, int]]:
    """(begin, end) of each run of True, the end not inside."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else nan
