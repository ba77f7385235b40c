"""The detectors of one shard as one: what each is given, what they say together, and what becomes of one that fails."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np

from models.detector import Batch, Detector, Forecasting, Scheduled, Versioned
from models.drift import DriftDetector
from models.importing import told
from operators.batches import Floats, Ints
from operators.features import Vectors

Role = Literal["rule", "model", "challenger"]

RULES = ("range", "stuck")
"""Checks of quality.py that count as rules; what they flag is an anomaly whatever the models say."""


@dataclass(frozen=True, slots=True)
class DriftWatch:
    """What looks out for lasting changes of a detector's calibrated scores.

    relearn: a sensor that drifts is forgotten by all detectors and learnt anew.
    """

    detector: DriftDetector
    relearn: bool = False


@dataclass(frozen=True, slots=True)
class NamedDetector:
    """A detector with its place in the verdict.

    role: a model is fused with the others; a challenger is scored and calibrated like one, but has no say; a rule flags
        by itself and is stored beside the models.
    threshold: raw scores of at least this make a rule flag a reading; None for models and challengers, which flag it
        when their calibrated score reaches the verdict's threshold.
    features: names of the columns it is given. scaled: to the sensor's own past, within 0 .. 1.
    weight: of a model beside the others.
    drift: watches its calibrated scores.
    """

    name: str
    role: Role
    detector: Detector
    features: tuple[str, ...] = ()
    threshold: float | None = None
    scaled: bool = True
    weight: float = 1.0
    drift: DriftWatch | None = None


@dataclass(frozen=True, slots=True)
class Happening:
    """Something to tell of in the table events: about a detector, or about a sensor when slot is not below 0."""

    kind: Literal["drift", "model_change", "detector_off"]
    time_ms: int
    detail: str
    detector: str
    slot: int = -1


@dataclass(frozen=True, slots=True)
class Given:
    """Readings, and the distinct matrices of features that the detectors want of them."""

    batch: Batch
    matrices: tuple[Floats, ...]

    def __len__(self) -> int:
        return len(self.batch)

    def take(self, rows: Any) -> "Given":
        """Some of them."""
        return Given(self.batch.take(rows), tuple(one[rows] for one in self.matrices))


class Panel:
    """Named detectors. feature_names: the columns there are to give.

    A detector that raises, or gives no scores of the right kind, is switched off until `begin`: its scores are NaN. It
    is told once, in `happenings`.
    """

    def __init__(self, detectors: Sequence[NamedDetector], feature_names: Sequence[str]) -> None:
        self.members = tuple(detectors)
        self.names = tuple(one.name for one in detectors)
        self.watches = any(one.drift is not None for one in detectors)
        self.happenings: list[Happening] = []
        self._off: set[str] = set()
        columns = [[feature_names.index(name) for name in one.features] for one in detectors]
        wanted = [(tuple(some), one.scaled) for some, one in zip(columns, detectors, strict=True)]
        self._inputs = tuple(dict.fromkeys(wanted))
        self._input_of = tuple(self._inputs.index(one) for one in wanted)
        self._scheduled = [(one, one.detector) for one in detectors if isinstance(one.detector, Scheduled)]
        self._versioned = [(one.name, one.detector) for one in detectors if isinstance(one.detector, Versioned)]
        self._forecaster = next((k for k, d in enumerate(detectors) if isinstance(d.detector, Forecasting)), None)

    def begin(self) -> list[Happening]:
        """What has happened since the last time; all detectors are switched on again."""
        happenings, self.happenings = self.happenings, []
        self._off.clear()
        return happenings

    def grow(self, sensors: int) -> None:
        """There are now so many slots."""
        for one in self.members:
            one.detector.grow(sensors)
            if one.drift is not None:
                one.drift.detector.grow(sensors)

    def reset(self, slots: Ints) -> None:
        """Let every detector forget these sensors."""
        for one in self.members:
            one.detector.reset(slots)

    def given(self, batch: Batch, vectors: Vectors) -> Given:
        """Readings with what the detectors want of their features."""
        return Given(batch, tuple(_columns(vectors, columns, scaled) for columns, scaled in self._inputs))

    def score(self, given: Given) -> Floats:
        """(n, detectors) raw scores; NaN while unknown."""
        raw = np.full((len(given), len(self.members)), np.nan)
        for place, (one, batch) in enumerate(zip(self.members, self._batches(given), strict=True)):
            if one.name not in self._off:
                try:
                    raw[:, place] = _checked(one.detector.score(batch), batch)
                except Exception as error:  # one's own detector can raise anything
                    self._switch_off(one, batch.time_ms[0], error)
        return raw

    def learn(self, given: Given) -> None:
        """Let every detector take the readings in."""
        if not len(given):
            return
        for one, batch in zip(self.members, self._batches(given), strict=True):
            if one.name not in self._off:
                try:
                    one.detector.learn(batch)
                except Exception as error:
                    self._switch_off(one, batch.time_ms[0], error)

    def expected(self, given: Given, into: Floats) -> None:
        """Fill (n, 3): expected value, lower and upper end of its interval, by the first detector that forecasts."""
        if self._forecaster is None:
            return
        one, batch = self.members[self._forecaster], self._batches(given)[self._forecaster]
        if isinstance(one.detector, Forecasting) and one.name not in self._off:
            try:
                into[:, 0], into[:, 1], into[:, 2] = one.detector.expected(batch)
            except Exception as error:
                self._switch_off(one, batch.time_ms[0], error)

    def watch(self, batch: Batch, surprise: Floats) -> Ints:
        """Look out for drift in calibrated scores (n, detectors) of readings that were not in alarm.

        Returns the slots that are to be learnt anew.
        """
        relearn = []
        for place, one in enumerate(self.members):
            if one.drift is None:
                continue
            known = np.flatnonzero(~np.isnan(surprise[:, place]))
            drifted = known[one.drift.detector.update(batch.slots[known], surprise[known, place])]
            for row in drifted.tolist():
                detail = "its scores have changed for good" + ("; learnt anew" if one.drift.relearn else "")
                slot, time_ms = int(batch.slots[row]), int(batch.time_ms[row])
                self.happenings.append(Happening("drift", time_ms, detail, one.name, slot))
            if one.drift.relearn:
                relearn.append(batch.slots[drifted])
        return np.unique(np.concatenate(relearn)) if relearn else np.empty(0, np.int64)

    def cuts(self, watermark_ms: Ints, before_ms: int) -> Ints:
        """Rows, in order, before which a model may change. watermark_ms: (n,) at each; before_ms: before the first."""
        cuts = np.zeros(len(watermark_ms), np.bool_)
        for _, detector in self._scheduled:
            cuts |= np.diff(watermark_ms // detector.step_ms, prepend=before_ms // detector.step_ms) != 0
        return np.flatnonzero(cuts)

    def advance(self, before_ms: int, watermark_ms: int, groups: Sequence[str]) -> None:
        """The partition's watermark moves so. groups: names of the sensor types."""
        for one, detector in self._scheduled:
            time_ms = watermark_ms // detector.step_ms * detector.step_ms
            if time_ms <= before_ms:
                continue
            try:
                changes = detector.advance(time_ms)
            except Exception as error:
                self._switch_off(one, time_ms, error)
                continue
            for group, detail in changes:
                subject = f"{one.name} ({groups[group]})" if groups[group] else one.name
                self.happenings.append(Happening("model_change", time_ms, detail, subject))

    def versions(self, groups: int) -> list[str]:
        """The column model_versions for a sensor of each group."""
        return [self._version(group) for group in range(groups)]

    def _version(self, group: int) -> str:
        versions = {name: version for name, one in self._versioned if (version := one.version_of(group))}
        return msgspec.json.encode(versions).decode() if versions else ""

    def _batches(self, given: Given) -> list[Batch]:
        one = given.batch
        batches = [Batch(one.slots, one.time_ms, one.values, matrix, one.groups, one.rows) for matrix in given.matrices]
        return [batches[place] for place in self._input_of]

    def _switch_off(self, one: NamedDetector, time_ms: int, error: Exception) -> None:
        self._off.add(one.name)
        detail = f"off for this batch: {told(error)}"
        self.happenings.append(Happening("detector_off", int(time_ms), detail, one.name))

    @property
    def nbytes(self) -> int:
        """Memory of all detectors, bytes."""
        watches = sum(one.drift.detector.nbytes for one in self.members if one.drift is not None)
        return watches + sum(one.detector.nbytes for one in self.members)

    def snapshot(self) -> tuple[Any, ...]:
        """Each detector's state, model and drift watch by its name."""
        return tuple(
            (
                one.name,
                one.detector.state(),
                _fixed_version(one.detector),
                None if one.drift is None else one.drift.detector.state(),
            )
            for one in self.members
        )

    def load(self, state: tuple[Any, ...]) -> dict[str, str]:
        """Go on from `snapshot()`. Returns what did not go on, and why, by name.

        A detector that is new starts afresh, as does one whose state does not fit it any more; one with another model
        keeps what it knows of its sensors, but its scores are others.
        """
        known = {name: stored for name, *stored in state}
        changed: dict[str, str] = {}
        for one in self.members:
            if one.name not in known:
                continue
            stored, version, watch = known[one.name]
            try:
                one.detector.load(stored)
                if one.drift is not None and watch is not None:
                    one.drift.detector.load(watch)
            except ValueError as misfit:
                changed[one.name] = f"starts afresh: {misfit}"
            else:
                if (now := _fixed_version(one.detector)) != version:
                    changed[one.name] = f"model {version or 'without a version'} replaced by {now or 'another'}"
        return changed


def _columns(vectors: Vectors, columns: tuple[int, ...], scaled: bool) -> Floats:
    matrix = vectors.scaled if scaled else vectors.raw
    return np.ascontiguousarray(matrix[:, list(columns)])


def _fixed_version(detector: Detector) -> str:
    """The version of a model that does not change by itself as time passes."""
    return detector.version_of(0) if isinstance(detector, Versioned) and not isinstance(detector, Scheduled) else ""


def _checked(scores: object, batch: Batch) -> Floats:
    if isinstance(scores, np.ndarray) and scores.shape == (len(batch),) and scores.dtype == np.float64:
        return np.where(np.isinf(scores), np.nan, scores)
    raise TypeError(f"score() gave {type(scores).__name__}, a float64 array of {len(batch)} scores expected")
