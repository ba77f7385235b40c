"""Detectors over a shard's readings: features, scores, verdicts, learning; rules beside models beside challengers.

A batch is cut into segments, between which models fitted anew take effect, and these into rounds in which every sensor
appears at most once. In a round all detectors score, the verdict is made of their scores, and those readings are learnt
that may teach: on time, in order, and not in alarm. So a reading is scored before it, or anything later, is learnt.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from models.compiled import compiled
from models.detector import Batch
from models.feature import Feature
from models.slots import column, resized
from operators.batches import Flags, Floats, Ints, Labels, Lists, Maps
from operators.features import Features
from operators.panel import Given, Happening, NamedDetector, Panel
from operators.records import RULES
from operators.rounds import Rounds
from operators.verdict import Verdict

STATE_VERSION = 3


@dataclass(frozen=True, slots=True)
class Verdicts:
    """One entry per row, as the columns of readings are described in records.py; expected: (n, 3) with both ends.

    features: as measured.
    """

    score: Floats
    is_anomaly: Flags
    rule: Flags
    model: Flags
    flagged_by: Lists
    raw: Maps
    surprise: Maps
    versions: Labels
    expected: Floats
    features: Maps
    happenings: list[Happening] = field(default_factory=list)


class _Found(NamedTuple):
    """What becomes of the rows, filled round by round."""

    raw: Floats
    surprise: Floats
    threshold: Floats
    score: Floats
    alarm: Flags
    expected: Floats

    @staticmethod
    def of(rows: int, detectors: int) -> "_Found":
        raw, surprise = np.empty((rows, detectors)), np.empty((rows, detectors))
        threshold, score, alarm = np.empty(rows), np.empty(rows), np.empty(rows, np.bool_)
        return _Found(raw, surprise, threshold, score, alarm, np.empty((rows, 3)))

    def put(self, rows: Any, found: "_Found") -> None:
        """Set some rows."""
        for mine, theirs in zip(self, found, strict=True):
            mine[rows] = theirs


@compiled
def _flag(
    raw: Floats,
    surprise: Floats,
    threshold: Floats,
    alarm: Flags,
    thresholds: Floats,
    out_of_range: Flags,
    stuck: Flags,
    chosen: Flags,
) -> tuple[Flags, Flags]:
    """Who flags each row: rules by their raw score's threshold, the others (NaN) by the verdict's.

    Fills `chosen`; returns whether a rule does, and whether the row is an anomaly.
    """
    detectors = len(thresholds)
    rule, anomaly = np.empty(len(raw), np.bool_), np.empty(len(raw), np.bool_)
    for i in range(len(rule)):
        chosen[i, detectors], chosen[i, detectors + 1] = out_of_range[i], stuck[i]
        rule[i] = out_of_range[i] or stuck[i]
        anomaly[i] = alarm[i] or out_of_range[i]
        for k in range(detectors):
            if np.isnan(thresholds[k]):
                chosen[i, k] = surprise[i, k] >= threshold[i]
            else:
                chosen[i, k] = raw[i, k] >= thresholds[k]
                rule[i] = rule[i] or chosen[i, k]
    return rule, anomaly


class Detection:
    """All detectors of one shard."""

    def __init__(
        self,
        detectors: Sequence[NamedDetector],
        *,
        verdict: Verdict,
        own_features: Sequence[Feature] = (),
    ) -> None:
        self._features = Features(own_features)
        self._panel = Panel(detectors, self._features.names)
        self._verdict = verdict
        self._thresholds = np.array([np.nan if d.threshold is None else d.threshold for d in detectors], np.float64)
        self._rounds = Rounds()
        self._group_of: dict[str, int] = {}
        self._groups = np.empty(0, np.int64)
        self._sensors = 0
        self._seen = 0
        self._watermark_ms: int | None = None

    def enrol(self, slots: Ints, types: Sequence[str], zones: Sequence[str]) -> None:
        """New sensors at these slots, which are fresh: their types and time zones."""
        fresh = [self._group_of.setdefault(one, len(self._group_of)) for one in types]
        sensors = self._sensors = max(self._sensors, int(slots.max(initial=-1)) + 1)
        self._groups = resized(self._groups, sensors, 0)
        self._groups[slots] = fresh
        self._features.enrol(slots, zones)
        self._panel.grow(sensors)
        self._verdict.grow(sensors)
        self._rounds.grow(sensors)

    def forget(self, slots: Ints) -> None:
        """These sensors are gone; their slots are fresh."""
        self._features.forget(slots)
        self._panel.forget(slots)
        self._verdict.reset(slots)

    def judge(
        self,
        *,
        slot: Ints,
        time_ms: Ints,
        value: Floats,
        watermark_ms: Ints,
        teaches: Flags,
        out_of_range: Flags,
        stuck: Flags,
    ) -> Verdicts:
        """Verdicts on rows in offset order.

        watermark_ms: the partition's at each row. teaches: rows that are on time and their sensor's newest; others are
        scored without differences to the reading before, and teach nothing.
        """
        n = len(slot)
        vectors = self._features.take_in(slot, time_ms, value, teaches)
        numbers = np.arange(self._seen, self._seen + n)
        self._seen += n
        batch = Batch(slot, time_ms, value, np.empty((n, 0)), self._groups[slot], numbers)
        given = self._panel.given(batch, vectors)
        found, versions = _Found.of(n, len(self._panel.members)), _VersionColumn(n)
        for part in self._segments(watermark_ms):
            versions.fill(part, self._panel.versions(len(self._group_of)), batch.groups[part])
            if part.stop - part.start == n:
                self._segment(given, teaches, found)
            else:
                self._segment(given.take(part), teaches[part], _Found._make(one[part] for one in found))
        features = Maps(self._features.names, vectors.raw)
        return self._verdicts(found, versions.labels, features, out_of_range, stuck)

    def _segments(self, watermark_ms: Ints) -> Iterator[slice]:
        """Stretches of rows; before each, models change that are due at the watermark it begins with."""
        n = len(watermark_ms)
        if not n:
            return
        before_ms = int(watermark_ms[0]) if self._watermark_ms is None else self._watermark_ms
        cuts = self._panel.cuts(watermark_ms, before_ms).tolist()
        for begin, end in pairwise([0, *cuts, n]):
            if begin in cuts:
                self._panel.advance(before_ms, int(watermark_ms[begin]), list(self._group_of))
                before_ms = int(watermark_ms[begin])
            if begin < end:
                yield slice(begin, end)
        self._watermark_ms = int(watermark_ms[-1])

    def _segment(self, given: Given, teaches: Flags, found: _Found) -> None:
        order, rounds = self._rounds.of(given.batch.slots)
        if len(rounds) == 1:
            self._round(given, teaches, found, rounds[0])
            return
        given, teaches, ordered = given.take(order), teaches[order], _Found.of(len(given), len(self._panel.members))
        for one in rounds:
            self._round(given.take(one), teaches[one], ordered, one)
        found.put(order, ordered)

    def _round(self, given: Given, teaches: Flags, found: _Found, rows: slice) -> None:
        """Score, judge, then learn; rows: where these readings stand in `found`."""
        batch, raw = given.batch, self._panel.score(given)
        self._panel.expected(given, found.expected[rows])
        judged = self._verdict.judge(batch.slots, batch.time_ms, raw, teaches)
        found.raw[rows], found.surprise[rows] = raw, judged.surprise
        found.score[rows], found.alarm[rows], found.threshold[rows] = judged.score, judged.alarm, judged.threshold
        learnt = teaches & judged.teaches
        calm = _those(given, learnt)
        self._panel.learn(calm, _those(given, teaches))
        if self._panel.watches:
            surprise = judged.surprise if calm is given else judged.surprise[learnt]
            self._relearn(self._panel.watch(calm.batch, surprise))

    def _verdicts(self, found: _Found, versions: Labels, features: Maps, out_of_range: Flags, stuck: Flags) -> Verdicts:
        names, raw, surprise = self._panel.names, found.raw, found.surprise
        chosen = np.empty((len(raw), len(names) + len(RULES)), np.bool_)
        out_of_range, stuck = column(out_of_range, np.bool_), column(stuck, np.bool_)
        by_rule, anomaly = _flag(
            raw, surprise, found.threshold, found.alarm, self._thresholds, out_of_range, stuck, chosen
        )
        return Verdicts(
            score=found.score,
            is_anomaly=anomaly,
            rule=by_rule,
            model=found.alarm,
            flagged_by=Lists(names + RULES, chosen),
            raw=Maps(names, raw),
            surprise=Maps(names, surprise),
            versions=versions,
            expected=found.expected,
            features=features,
            happenings=self._panel.begin(),
        )

    def _relearn(self, slots: Ints) -> None:
        if len(slots):
            self._panel.reset(slots)
            self._verdict.reset(slots)

    @property
    def nbytes(self) -> int:
        """Memory of features, detectors and calibration, bytes."""
        return self._features.nbytes + self._panel.nbytes + self._verdict.nbytes

    def snapshot(self) -> tuple[Any, ...]:
        """Plain values; each detector's state by its name."""
        groups = (tuple(self._group_of), self._groups[: self._sensors].copy())
        own = (groups, self._seen, self._watermark_ms)
        return (STATE_VERSION, own, self._features.snapshot(), self._panel.snapshot(), self._verdict.snapshot())

    def load(self, state: tuple[Any, ...]) -> dict[str, str]:
        """Go on from `snapshot()`, after `enrol` with its sensors.

        Returns what did not go on, and why, by detector: its calibration starts afresh, too.
        """
        _, ((types, groups), self._seen, self._watermark_ms), features, panel, verdict = state
        self._group_of = {one: group for group, one in enumerate(types)}
        self._groups, self._sensors = np.array(groups), len(groups)
        self._features.load(features)
        changed = self._panel.load(panel)
        then = [name for name, *_ in panel]
        self._verdict.load(verdict, [then.index(name) if name in then else None for name in self._panel.names])
        for name in changed:
            self._verdict.reset_detector(self._panel.names.index(name))
        return changed


def _those(given: Given, chosen: Flags) -> Given:
    return given if np.count_nonzero(chosen) == len(chosen) else given.take(np.flatnonzero(chosen))


class _VersionColumn:
    """The column model_versions, filled segment by segment."""

    def __init__(self, rows: int) -> None:
        self._codes = np.zeros(rows, np.int32)
        self._values: dict[str, int] = {}

    def fill(self, part: slice, versions: list[str], groups: Ints) -> None:
        """versions: by group. groups: of the rows in that part."""
        codes = [self._values.setdefault(version, len(self._values)) for version in versions]
        self._codes[part] = np.array(codes, np.int32)[groups]

    @property
    def labels(self) -> Labels:
        """The whole column."""
        return Labels(self._codes, list(self._values))
