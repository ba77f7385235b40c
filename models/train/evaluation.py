"""How well a score tells faulty readings from normal ones, kind by kind."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.detector import Floats, Slots

Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.uint8]

LOOK_BACK = 32
"""Readings for which a fault is still in the features of what follows it."""
WINDOW = 20
"""Consecutive readings of a sensor that are judged as one: flagged when one of them is."""
_ALARMS = (0.05, 0.02, 0.01, 0.005, 0.003, 0.002, 0.001, 0.0005)
"""Shares of normal windows above a threshold, among which the best threshold is looked for."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Readings in order of time, with their features and the truth.

    features: (n, k), NaN where not known. sensor: (n,) numbers. kind: (n,) 0 for normal, else the kind of fault.
    """

    features: Floats
    sensor: Slots
    kind: Codes

    def settled(self) -> Flags:
        """(n,) whether a reading has all its features and no fault in them."""
        order = np.argsort(self.sensor, kind="stable")
        place = np.arange(len(order))
        of = self.sensor[order]
        first = np.maximum.accumulate(np.where(np.diff(of, prepend=-1) != 0, place, 0))
        fault = np.maximum.accumulate(np.where(self.kind[order] > 0, place, -1))
        clean = np.empty(len(order), np.bool_)
        clean[order] = (fault < first) | (place - fault > LOOK_BACK)
        return clean & ~np.isnan(self.features).any(axis=1)


@dataclass(frozen=True, slots=True)
class Windows:
    """score: (n,) the largest of a window's readings. kind: (n,) 0, or the kind of fault in it."""

    score: Floats
    kind: Codes


@dataclass(frozen=True, slots=True)
class Rightness:
    """Of a threshold. alarms: share of the normal windows that are flagged.

    recall, f1: by kind of fault, against all normal windows; NaN for a kind that does not occur.
    """

    threshold: float
    f1: float
    alarms: float
    windows: tuple[int, ...]
    recall: tuple[float, ...]
    f1_of: tuple[float, ...]


def windows(examples: Sequence[Examples], scores: Sequence[Floats]) -> Windows:
    """Cut into windows. Readings after a fault that still have it in their features are left out, as are those
    without a score."""
    found = []
    for one, score in zip(examples, scores, strict=True):
        counted = ((one.kind > 0) | one.settled()) & ~np.isnan(score)
        key, window = np.unique(_numbers(one.sensor)[counted], return_inverse=True)
        largest, kind = np.full(len(key), -np.inf), np.zeros(len(key), np.uint8)
        np.maximum.at(largest, window, score[counted])
        np.maximum.at(kind, window, one.kind[counted])
        found.append((largest, kind))
    return Windows(np.concatenate([one for one, _ in found]), np.concatenate([one for _, one in found]))


def _numbers(sensor: Slots) -> Slots:
    """(n,) a number for each window of each sensor."""
    order = np.argsort(sensor, kind="stable")
    place = np.arange(len(order))
    of = sensor[order]
    first = np.maximum.accumulate(np.where(np.diff(of, prepend=-1) != 0, place, 0))
    numbers = np.empty(len(order), np.int64)
    numbers[order] = of * len(order) + (place - first) // WINDOW
    return numbers


def best_threshold(found: Windows) -> float:
    """The one with the highest F1 over all kinds."""
    levels = np.quantile(found.score[found.kind == 0], 1 - np.array(_ALARMS))
    kinds = int(found.kind.max(initial=0))
    return float(max(levels, key=lambda level: judge(found, level, kinds).f1))


def judge(found: Windows, threshold: float, kinds: int) -> Rightness:
    """How right it is to flag windows above a threshold; kinds: how many kinds of fault there are."""
    flagged, normal = found.score > threshold, found.kind == 0
    false = int((flagged & normal).sum())
    counts = [int((found.kind == kind).sum()) for kind in range(1, kinds + 1)]
    hits = [int((flagged & (found.kind == kind)).sum()) for kind in range(1, kinds + 1)]
    return Rightness(
        threshold=threshold,
        f1=_f1(sum(hits), false, sum(counts)),
        alarms=false / max(1, int(normal.sum())),
        windows=tuple(counts),
        recall=tuple(hit / count if count else np.nan for hit, count in zip(hits, counts, strict=True)),
        f1_of=tuple(_f1(hit, false, count) for hit, count in zip(hits, counts, strict=True)),
    )


def _f1(hits: int, false: int, faulty: int) -> float:
    return 2 * hits / (hits + false + faulty) if faulty else float("nan")
