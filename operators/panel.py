"""The detectors of one shard as one: what each is given, what they say together, and what becomes of one that fails."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import msgspec
import numpy as np

from models.compiled import compiled
from models.detector import Batch, Detector, Forecasting, Scheduled, Versioned
from models.drift import DriftDetector
from models.importing import told
from operators.batches import Floats, Ints
from operators.features import Vectors

Role = Literal["rule", "model", "challenger"]


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
    drift: watches its calibrated scores.
    learns: readings on time and in order; only those not in alarm, or always.
    """

    name: str
    role: Role
    detector: Detector
    features: tuple[str, ...] = ()
    threshold: float | None = None
    scaled: bool = True
    drift: DriftWatch | None = None
    learns: Literal["calm", "always"] = "calm"


@dataclass(frozen=True, slots=True)
class Happening:
    """Something to tell of in the table events: about a detector, of a sensor when slot is not below 0.

    detector: "" for what is about all of them.
    """

    kind: Literal["drift", "model_change", "detector_off", "evicted"]
    time_ms: int
    detail: str
    detector: str
    slot: int = -1


@dataclass(frozen=True, slots=True)
class Given:
    """Readings; batches: the same with each distinct matrix of features that detectors want of them."""

    batch: Batch
    batches: tuple[Batch, ...]

    @staticmethod
    def of(one: Batch, matrices: Iterable[Floats]) -> "Given":
        """Readings with these matrices."""
        return Given(one, tuple(Batch(one.slots, one.time_ms, one.values, m, one.groups, one.rows) for m in matrices))

    def __len__(self) -> int:
        return len(self.batch)

    def take(self, rows: Any) -> "Given":
        """Some of them."""
        return Given.of(self.batch.take(rows), [one.features[rows] for one in self.batches])


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
        inputs = list(dict.fromkeys(wanted))
        self._places = [inputs.index(one) for one in wanted]
        self._inputs = [_Input.of(some, scaled, among=len(feature_names)) for some, scaled in inputs]
        self._scheduled = [(one, one.detector) for one in detectors if isinstance(one.detector, Scheduled)]
        self._versioned = [(one.name, one.detector) for one in detectors if isinstance(one.detector, Versioned)]
        # Looked up once: whether an object fits a protocol takes longer to find out than a kernel takes to run.
        forecasters = [(k, d.detector) for k, d in enumerate(detectors) if isinstance(d.detector, Forecasting)]
        self._forecaster = forecasters[0] if forecasters else None

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

    def forget(self, slots: Ints) -> None:
        """These sensors are gone; their slots are fresh."""
        self.reset(slots)
        for one in self.members:
            if one.drift is not None:
                one.drift.detector.reset(slots)

    def given(self, batch: Batch, vectors: Vectors) -> Given:
        """Readings with what the detectors want of their features."""
        return Given.of(batch, [one.of_vectors(vectors) for one in self._inputs])

    def score(self, given: Given) -> Floats:
        """(n, detectors) raw scores; NaN while unknown."""
        raw = np.empty((len(given), len(self.members)))
        for place, one in enumerate(self.members):
            batch = given.batches[self._places[place]]
            try:
                raw[:, place] = np.nan if one.name in self._off else _checked(one.detector.score(batch), len(raw))
            except Exception as error:  # one's own detector can raise anything
                raw[:, place] = np.nan
                self._switch_off(one, batch.time_ms[0], error)
        _forget_infinities(raw)
        return raw

    def learn(self, calm: Given, every: Given) -> None:
        """Let detectors take readings in: those that were not in alarm, or every one, as each of them wants it."""
        teaching = {"calm": calm.batches if len(calm) else (), "always": every.batches if len(every) else ()}
        for place, one in enumerate(self.members):
            batches = teaching[one.learns]
            if batches and one.name not in self._off:
                batch = batches[self._places[place]]
                try:
                    one.detector.learn(batch)
                except Exception as error:
                    self._switch_off(one, batch.time_ms[0], error)

    def expected(self, given: Given, into: Floats) -> None:
        """Fill (n, 3): expected value, lower and upper end of its interval, by the first detector that forecasts.

        NaN where there is none, or it is off.
        """
        into[:] = np.nan
        if self._forecaster is None:
            return
        place, detector = self._forecaster
        one, batch = self.members[place], given.batches[self._places[place]]
        if one.name not in self._off:
            try:
                into[:, 0], into[:, 1], into[:, 2] = detector.expected(batch)
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
            (drifted,) = one.drift.detector.update(batch.slots, surprise[:, place].copy()).nonzero()
            for row in drifted.tolist():
                detail = "its scores have changed for good" + ("; learnt anew" if one.drift.relearn else "")
                slot, time_ms = int(batch.slots[row]), int(batch.time_ms[row])
                self.happenings.append(Happening("drift", time_ms, detail, one.name, slot))
            if one.drift.relearn:
                relearn.append(batch.slots[drifted])
        return np.unique(np.concatenate(relearn)) if relearn else np.empty(0, np.int64)

    def cuts(self, watermark_ms: Ints, before_ms: int) -> Ints:
        """Rows, in order, before which a model may change.

        watermark_ms: (n,) at each, n > 0, never less than at the one before; before_ms: before the first.
        """
        last_ms = int(watermark_ms[-1])
        steps = {detector.step_ms for _, detector in self._scheduled}
        found = [_cuts(watermark_ms, before_ms, step) for step in steps if last_ms // step > before_ms // step]
        return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)

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
        return _told_versions(tuple((name, one.version_of(group)) for name, one in self._versioned))

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


@dataclass(frozen=True, slots=True)
class _Input:
    """Features that some detectors are given. columns: which; None for all there are, in their order."""

    columns: Ints | None
    scaled: bool

    @staticmethod
    def of(columns: tuple[int, ...], scaled: bool, *, among: int) -> "_Input":
        return _Input(None if columns == tuple(range(among)) else np.array(columns, np.int64), scaled)

    def of_vectors(self, vectors: Vectors) -> Floats:
        matrix = vectors.scaled if self.scaled else vectors.raw
        return matrix if self.columns is None else matrix.take(self.columns, axis=1)


@compiled
def _forget_infinities(scores: Floats) -> None:
    for row in range(scores.shape[0]):
        for k in range(scores.shape[1]):
            if np.isinf(scores[row, k]):
                scores[row, k] = np.nan


def _cuts(watermark_ms: Ints, before_ms: int, step_ms: int) -> Ints:
    return np.flatnonzero(np.diff(watermark_ms // step_ms, prepend=before_ms // step_ms))


@lru_cache(maxsize=1000)
def _told_versions(versions: tuple[tuple[str, str], ...]) -> str:
    """As JSON; kept, because they seldom change and are asked for with every batch."""
    known = {name: version for name, version in versions if version}
    return msgspec.json.encode(known).decode() if known else ""


def _fixed_version(detector: Detector) -> str:
    """The version of a model that does not change by itself as time passes."""
    return detector.version_of(0) if isinstance(detector, Versioned) and not isinstance(detector, Scheduled) else ""


def _checked(scores: object, rows: int) -> Floats:
    if isinstance(scores, np.ndarray) and scores.shape == (rows,) and scores.dtype == np.float64:
        return scores
    raise TypeError(f"score() gave {type(scores).__name__}, a float64 array of {rows} scores expected")
