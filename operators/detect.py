"""Detectors over a shard's readings: score, then learn; thresholds; rules beside models.

A batch is cut into rounds in which every sensor appears at most once, so that a detector is plain array code and each
reading is scored before it, or anything later, is learnt. This is also the place for calibration, fusion and the gate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from models.detector import Batch, Detector
from operators.batches import Flags, Floats, Ints, Lists, Maps
from operators.features import Features
from operators.rounds import Rounds

STATE_VERSION = 1
RULES = ("range", "stuck")
"""Checks of quality.py that count as rules."""


@dataclass(frozen=True, slots=True)
class NamedDetector:
    """A detector with its place in the verdict: raw scores of at least `threshold` flag a reading."""

    name: str
    role: Literal["rule", "model"]
    threshold: float
    detector: Detector


@dataclass(frozen=True, slots=True)
class Verdicts:
    """One entry per row.

    score: the largest of raw score / threshold over the detectors; NaN when none knows.
    rule, model: a rule or a model flagged it; flagged_by: which.
    raw: (n, detectors) raw scores.
    """

    score: Floats
    rule: Flags
    model: Flags
    flagged_by: Lists
    raw: Maps

    @property
    def is_anomaly(self) -> Flags:
        """The verdict."""
        return self.rule | self.model


class Detection:
    """All detectors of one shard."""

    def __init__(self, detectors: Sequence[NamedDetector]) -> None:
        self._detectors = tuple(detectors)
        self._names = tuple(d.name for d in detectors)
        self._thresholds = np.array([d.threshold for d in detectors])
        self._is_rule = np.array([d.role == "rule" for d in detectors] + [True] * len(RULES))
        self._features = Features()
        self._rounds = Rounds()
        self._group_of: dict[str, int] = {}
        self._groups = np.empty(0, np.int64)
        self._rows = 0

    def grow(self, types: Sequence[str], zones: Sequence[str]) -> None:
        """New slots follow the ones there are: the sensors' types and time zones."""
        fresh = [self._group_of.setdefault(one, len(self._group_of)) for one in types]
        self._groups = np.concatenate([self._groups, np.array(fresh, np.int64)])
        sensors = len(self._groups)
        self._features.grow(list(zones))
        self._rounds.grow(sensors)
        for named in self._detectors:
            named.detector.grow(sensors)

    def judge(
        self,
        *,
        slot: Ints,
        time_ms: Ints,
        value: Floats,
        in_order: Flags,
        teaches: Flags,
        out_of_range: Flags,
        stuck: Flags,
    ) -> Verdicts:
        """Verdicts on rows in offset order; those with `teaches` are learnt from, each after it was scored."""
        n = len(slot)
        raw = np.full((n, len(self._detectors)), np.nan)
        features = self._features.take_in(slot, time_ms, value, in_order)
        if self._detectors:
            order, rounds = self._rounds.of(slot)
            batch = Batch(slot, time_ms, value, features.raw, self._groups[slot], np.arange(self._rows, self._rows + n))
            raw[order] = self._in_rounds(batch.take(order), teaches[order], rounds)
        self._rows += n
        flagged = raw >= self._thresholds
        rules = np.stack([out_of_range, stuck], axis=1)
        chosen = np.concatenate([flagged, rules], axis=1)
        by_rule: Flags = np.any(chosen[:, self._is_rule], axis=1)
        by_model: Flags = np.any(chosen[:, ~self._is_rule], axis=1)
        score = _largest(raw / self._thresholds)
        return Verdicts(score, by_rule, by_model, Lists(self._names + RULES, chosen), Maps(self._names, raw))

    def _in_rounds(self, rows: Batch, teaches: Flags, rounds: list[slice]) -> Floats:
        """Raw scores of rows sorted by round; each round is scored, then learnt, by every detector."""
        raw = np.empty((len(rows), len(self._detectors)))
        for one in rounds:
            batch = rows.take(one)
            learnt = batch if teaches[one].all() else batch.take(np.flatnonzero(teaches[one]))
            for place, named in enumerate(self._detectors):
                raw[one, place] = named.detector.score(batch)
                named.detector.learn(learnt)
        return raw

    @property
    def nbytes(self) -> int:
        """Memory of all detectors and features, bytes."""
        return self._features.nbytes + sum(named.detector.nbytes for named in self._detectors)

    def snapshot(self) -> tuple[Any, ...]:
        """Plain values; each detector's state by its name."""
        states = tuple((named.name, named.detector.state()) for named in self._detectors)
        return (
            STATE_VERSION,
            tuple(self._group_of),
            self._groups.copy(),
            self._rows,
            self._features.snapshot(),
            states,
        )

    def load(self, state: tuple[Any, ...]) -> dict[str, str]:
        """Go on from `snapshot()`; a detector that was not there then starts afresh.

        So does one whose state does not fit it any more (other parameters, another version of its library); what became
        of those is returned: why, by name.
        """
        _, groups, self._groups, self._rows, features, states = state
        self._group_of = {name: number for number, name in enumerate(groups)}
        self._features.load(features)
        known = dict(states)
        afresh: dict[str, str] = {}
        for named in self._detectors:
            if named.name in known:
                try:
                    named.detector.load(known[named.name])
                except ValueError as misfit:
                    afresh[named.name] = str(misfit)
            named.detector.grow(len(self._groups))
        return afresh


def _largest(scores: Floats) -> npt.NDArray[np.float64]:
    """(n, k) -> (n,): the largest, NaN left aside; NaN where all are."""
    if scores.shape[1] == 0:
        return np.full(len(scores), np.nan)
    known = np.where(np.isnan(scores), -np.inf, scores).max(axis=1)
    return np.where(np.isneginf(known), np.nan, known)
