"""Isolation forest: scikit-learn's, one per sensor type of a shard, fitted anew every few minutes of event time."""

from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import gcd
from typing import Any, cast

import numpy as np

from models.detector import Batch, Floats, Slots, check_state
from models.flat_forest import LEAF, Forest, Woods
from models.forest_process import shared
from models.slots import slot_column
from models.training_window import Rows, TrainingWindows, packed, unpacked

VERSION = 1
_NEVER = -(2**63)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Fit:
    """A fit that has begun: what it is made of, and when, in event time, it began and will be in use."""

    began_ms: int
    in_use_ms: int
    rows: Rows
    forest: Future[Any]


class IsolationForest:
    """Score: -score_samples of scikit-learn's IsolationForest, 0 .. 1, about 0.5 for the most ordinary readings.

    Unknown (NaN) until the first forest of the sensor's type is in use, and for a reading that lacks a feature.

    window: rows of a type that its forest is fitted on: the last ones that taught.
    min_rows: a type with fewer has no forest yet, or keeps the one it has.
    new_rows: a type with fewer since its last fit keeps its forest: sensors that send seldom need no new one so often.
    every_ms: a fit begins whenever the event time is a multiple of this, for every type with enough rows.
    delay_ms: a forest is in use so long after its fit began, in event time. Fits run in a helper process, and readings
        later than that wait for them: so live, replay and recovery see the same forest at the same reading.
    contamination: the proportion of outliers in the window, as in scikit-learn: so many of its rows, those that the
        forest in use finds strangest, are left out of the next fit, so that a fault that was learnt is not kept.
    n_estimators, max_samples: trees, and rows that each is grown from (fewer while the window is smaller).
    seed: with the type and the time it gives the random state of a fit.

    A type takes, with the defaults and 12 features, 25 kB for its forest, 70 kB for scoring by it, 75 kB for its
    window and 48 kB for a fit under way; in a snapshot 17, 0, up to 30 and up to 27 kB compressed. A sensor takes
    nothing more. As sensors of a type share a forest, `reset` takes a sensor's rows from the window, and so from the
    fits that begin later.
    """

    def __init__(
        self,
        feature_names: tuple[str, ...],
        *,
        window: int = 1000,
        min_rows: int = 256,
        new_rows: int = 100,
        every_ms: int = 300_000,
        delay_ms: int = 60_000,
        n_estimators: int = 50,
        max_samples: int = 256,
        contamination: float = 0.01,
        seed: int = 42,
    ) -> None:
        if not 1 <= len(feature_names) < LEAF:
            raise ValueError(f"{len(feature_names)} features: an isolation forest takes from 1 to {LEAF - 1}")
        _check_whole(window, 2, 65_535, "window")
        _check_whole(min_rows, 2, window, "min_rows")
        _check_whole(new_rows, 1, window, "new_rows")
        _check_whole(max_samples, 2, window, "max_samples")
        _check_whole(n_estimators, 1, 1000, "n_estimators")
        _check_whole(every_ms, 1, 7 * 86_400_000, "every_ms")
        _check_whole(delay_ms, 1, every_ms, "delay_ms")
        _check_whole(seed, 0, 2**32 - 1, "seed")
        if not (isinstance(contamination, int | float) and 0 <= contamination <= 0.5):
            raise ValueError(f"contamination = {contamination!r}: must be a proportion from 0 to 0.5")
        self._parameters = {
            "features": tuple(feature_names),
            "window": window,
            "min_rows": min_rows,
            "new_rows": new_rows,
            "every_ms": every_ms,
            "delay_ms": delay_ms,
            "n_estimators": n_estimators,
            "max_samples": max_samples,
            "contamination": float(contamination),
            "seed": seed,
        }
        self._min_rows, self._new_rows = min_rows, new_rows
        self._every_ms, self._delay_ms = every_ms, delay_ms
        self._trees, self._max_samples = n_estimators, max_samples
        self._contamination, self._seed = contamination, seed
        self._windows = TrainingWindows(width=len(feature_names), size=window)
        self._sensors = 0
        self._advanced_ms = _NEVER
        self._fits: dict[int, _Fit] = {}
        self._fitted_up_to: dict[int, int] = {}
        self._forests: dict[int, tuple[int, Forest]] = {}
        self._plant()

    def grow(self, sensors: int) -> None:
        """See Detector."""
        self._sensors = max(self._sensors, sensors)

    def score(self, batch: Batch) -> Floats:
        """See Detector."""
        slot_column(batch.slots, self._sensors)
        return self._woods.score(batch.groups, batch.features)

    def learn(self, batch: Batch) -> None:
        """See Detector."""
        slot_column(batch.slots, self._sensors)
        self._windows.take(batch)

    def reset(self, slots: Slots) -> None:
        """See Detector: the sensors' rows teach no more; the forest in use stays."""
        self._windows.forget(slot_column(slots, self._sensors))

    @property
    def step_ms(self) -> int:
        """See Scheduled."""
        return gcd(self._every_ms, self._delay_ms)

    def advance(self, time_ms: int) -> list[tuple[int, str]]:
        """See Scheduled. Waits for the fits that are to be in use by now.

        Raises RuntimeError when one failed: the forest of that type stays as it was until the next fit.
        """
        before_ms = time_ms - self.step_ms if self._advanced_ms == _NEVER else self._advanced_ms
        self._advanced_ms = max(time_ms, before_ms)
        begin_ms = (before_ms // self._every_ms + 1) * self._every_ms
        changes = self._put_in_use(min(begin_ms, time_ms))
        if begin_ms <= time_ms:  # later multiples, if any, would find the same rows
            for group in range(len(self._windows)):
                self._begin(group, begin_ms)
            changes += self._put_in_use(time_ms)
        return changes

    def version_of(self, group: int) -> str:
        """See Versioned: when the fit began, in event time."""
        return _told(self._forests[group][0]) if group in self._forests else ""

    @property
    def nbytes(self) -> int:
        """See Detector."""
        forests = sum(forest.nbytes for _, forest in self._forests.values())
        return self._windows.nbytes + self._woods.nbytes + forests + sum(fit.rows.nbytes for fit in self._fits.values())

    def state(self) -> dict[str, object]:
        """See Detector."""
        forests = {
            group: (began_ms, forest.features, forest.thresholds, forest.counts, forest.samples)
            for group, (began_ms, forest) in self._forests.items()
        }
        fits = {group: (fit.began_ms, fit.in_use_ms, packed(fit.rows)) for group, fit in self._fits.items()}
        return {
            "version": VERSION,
            **self._parameters,
            "sensors": self._sensors,
            "advanced_ms": self._advanced_ms,
            "windows": self._windows.state(),
            "fitted_up_to": dict(self._fitted_up_to),
            "forests": forests,
            "fits": fits,
        }

    def load(self, state: dict[str, object]) -> None:
        """See Detector. Fits that were under way begin anew, with the same outcome."""
        check_state(state, version=VERSION, **self._parameters)
        known = cast(dict[str, Any], state)
        self._sensors, self._advanced_ms = known["sensors"], known["advanced_ms"]
        self._windows.load(known["windows"])
        self._fitted_up_to = dict(known["fitted_up_to"])
        self._forests = {
            group: (began_ms, Forest(features, thresholds, counts, samples))
            for group, (began_ms, features, thresholds, counts, samples) in known["forests"].items()
        }
        self._plant()
        for fit in self._fits.values():
            fit.forest.cancel()
        self._fits = {
            group: self._fit(group, unpacked(rows), began_ms, in_use_ms)
            for group, (began_ms, in_use_ms, rows) in known["fits"].items()
        }

    def _begin(self, group: int, time_ms: int) -> None:
        """Begin the fit of a type, if it has new rows and enough of them."""
        if self._windows.newer(group, self._fitted_up_to.get(group, -1)) < self._new_rows:
            return
        rows = self._windows.training(group)
        if len(rows) < self._min_rows:
            return
        if outliers := int(self._contamination * len(rows)) if group in self._forests else 0:
            scores = self._woods.score(np.full(len(rows), group), rows.astype(np.float64))
            rows = rows[np.sort(np.argsort(scores, kind="stable")[:-outliers])]
        self._fitted_up_to[group] = self._windows.newest(group)
        self._fits[group] = self._fit(group, rows, time_ms, time_ms + self._delay_ms)

    def _fit(self, group: int, rows: Rows, began_ms: int, in_use_ms: int) -> _Fit:
        random_state = int(np.random.SeedSequence([self._seed, group, began_ms % 2**63]).generate_state(1)[0])
        forest = shared().submit((rows, self._trees, min(self._max_samples, len(rows)), random_state))
        return _Fit(began_ms, in_use_ms, rows, forest)

    def _put_in_use(self, time_ms: int) -> list[tuple[int, str]]:
        """Forests whose time has come replace their predecessors."""
        due = [(group, fit) for group, fit in self._fits.items() if fit.in_use_ms <= time_ms]
        changes, failures = [], []
        for group, fit in due:
            del self._fits[group]
            try:
                features, thresholds, counts = fit.forest.result()
            except Exception as error:  # the others are put in use first
                failures.append(error)
                continue
            samples = min(self._max_samples, len(fit.rows))
            self._forests[group] = (fit.began_ms, Forest(features, thresholds, counts, samples))
            detail = f"isolation forest fitted on {len(fit.rows)} rows up to {_told(fit.began_ms)}"
            changes.append((group, f"{detail}, in use from {_told(fit.in_use_ms)}"))
        if changes:
            self._plant()
        if failures:
            raise failures[0]
        return changes

    def _plant(self) -> None:
        """Lay the forests out for scoring."""
        groups = range(max(self._forests, default=-1) + 1)
        forests = [self._forests[group][1] if group in self._forests else None for group in groups]
        self._woods = Woods(forests, trees=self._trees, max_samples=self._max_samples)


def _check_whole(value: object, low: int, high: int, name: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} = {value!r}: must be a whole number from {low} to {high}")


@lru_cache(maxsize=1000)
def _told(time_ms: int) -> str:
    """2026-11-25T10:05Z; with seconds and milliseconds where there are any."""
    time = _EPOCH + timedelta(milliseconds=time_ms)
    unit = "minutes" if time_ms % 60_000 == 0 else "seconds" if time_ms % 1000 == 0 else "milliseconds"
    return f"{time.replace(tzinfo=None).isoformat(timespec=unit)}Z"
