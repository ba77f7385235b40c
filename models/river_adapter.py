"""Any River anomaly detector, one instance per sensor. River itself is imported only when one is built.

Flexible, not fast: a Python call per reading; models/catalog.py takes a compiled twin where there is one. Scores are
River's own, with these exceptions, each of which would otherwise flag healthy sensors or stop the flow:

- while a sensor warms up the score is NaN, where River says 0;
- a score that is not finite is NaN, and so is one that River fails to compute (overflow, division by zero);
- GaussianScorer fails, or says 1 to every value, while its variance is 0: here a value equal to the mean scores 0;
- numbers beyond +-1e100 are taken as +-1e100, so that their squares do not overflow;
- a detector on features learns no row with missing ones at first (at most MAX_INCOMPLETE_ROWS), since some,
  HalfSpaceTrees among them, keep for good to those features that their first row has.

HalfSpaceTrees expects features in 0 .. 1: give `limits`, or put a preprocessing.MinMaxScaler before it in a Pipeline.
"""

import copy
import math
import pickle
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

from models.detector import Batch, Floats, Slots, check_state
from models.importing import KindError, construct, load_class, told
from models.slots import slot_column

VERSION = 1
LIMIT = 1e100
MAX_INCOMPLETE_ROWS = 50
"""More than a sensor takes until its features are scaled, when it has those of the clock alone."""
DEFAULT_WARM_UP = 20
MAX_TRIAL_ROWS = 1000
NOISE = 1e-9
"""A standard deviation below this part of the mean is taken for rounding."""

SEEDED = {"seed": 0}
"""Two runs over the same readings must agree, so no detector may draw its seed."""
FAILURES = (ArithmeticError, ValueError, TypeError)
"""What computing can end in; TypeError when River goes on with a complex number."""


class RiverDetector:
    """A River anomaly detector (`score_one`, `learn_one`) for every sensor of a shard.

    kind: import path, such as "river.anomaly.HalfSpaceTrees".
    params: its keyword arguments. An object among them is written {kind = "river.stats.Mean", params = {...}}; the
        steps of a river.compose.Pipeline are a list of such. A seed left out is 0.
    warm_up: rows to learn before scores are given; by default the detector's own grace period or window, else 20.

    x is the row's features by name, without missing ones; detectors that River calls supervised get y = value too.
    Raises KindError, with one line for people, when the detector cannot be built or cannot score.
    """

    def __init__(
        self,
        feature_names: tuple[str, ...],
        *,
        kind: str,
        params: Mapping[str, Any] | None = None,
        warm_up: int | None = None,
    ) -> None:
        from river import anomaly, base

        self._feature_names = feature_names
        self._kind, self._params = kind, dict(params or {})
        model = self._fresh()
        core = _core(model)
        self._wrapped = core is not model
        self._takes_value = isinstance(core, base.SupervisedAnomalyDetector)
        self._takes_features = not isinstance(core, anomaly.GaussianScorer | anomaly.StandardAbsoluteDeviation)
        self._gaussian = isinstance(core, anomaly.GaussianScorer)
        self._scoring_learns = isinstance(core, anomaly.PredictiveAnomalyDetection)
        self._warm_up = max(1, _own_warm_up(core) if warm_up is None else warm_up)
        self._check(model, core)
        self._models: list[Any] = []
        self._learnt: list[int] = []
        self._incomplete: list[int] = []
        self._measured = (0, 0)

    def grow(self, sensors: int) -> None:
        """See Detector. A sensor's model is made when it first learns."""
        new = sensors - len(self._models)
        self._models += [None] * new
        self._learnt += [0] * new
        self._incomplete += [0] * new

    def score(self, batch: Batch) -> Floats:
        """See Detector."""
        scores = np.full(len(batch), np.nan)
        for row, (slot, x, y) in enumerate(self._rows(batch)):
            if self._learnt[slot] >= self._warm_up and (x or self._takes_value):
                model = self._models[slot]
                scores[row] = self._score_one(copy.deepcopy(model) if self._scoring_learns else model, x, y)
        return scores

    def learn(self, batch: Batch) -> None:
        """See Detector. A sensor whose model fails to learn starts afresh."""
        for slot, x, y in self._rows(batch):
            if self._takes_features and not self._may_teach(slot, x):
                continue
            if self._models[slot] is None:
                self._models[slot] = self._fresh()
            if self._scoring_learns and self._learnt[slot] >= self._warm_up:
                self._models[slot] = self._scored(self._models[slot], x, y)
            try:
                self._learn_one(self._models[slot], x, y)
                self._learnt[slot] += 1
            except FAILURES:
                self._forget(slot)

    def reset(self, slots: Slots) -> None:
        """See Detector."""
        for slot in slot_column(slots, len(self._models)).tolist():
            self._forget(slot)

    @property
    def nbytes(self) -> int:
        """See Detector. Estimated: one sensor, measured anew when sensors or rows have doubled, stands for all."""
        models = [model for model in self._models if model is not None]
        if not models:
            return 0
        size, at = self._measured
        doubled = len(models).bit_length() << 8 | sum(self._learnt).bit_length()
        if at != doubled:
            size = bytes_of(models[0])
            self._measured = (size, doubled)
        return size * len(models)

    def state(self) -> dict[str, object]:
        """See Detector. Pickled here and nowhere else, for only River knows what its objects consist of.

        Hence the state fits one version of River only. It is read back from the recovery store, which we wrote.
        """
        return {
            **self._identity(),
            "models": pickle.dumps(self._models, protocol=5),
            "learnt": np.array(self._learnt, np.int64),
            "incomplete": np.array(self._incomplete, np.int64),
        }

    def load(self, state: dict[str, object]) -> None:
        """See Detector. Raises ValueError also for the state of another version of River."""
        check_state(state, **self._identity())
        models, learnt, incomplete = state["models"], state["learnt"], state["incomplete"]
        assert isinstance(models, bytes)
        self._models = pickle.loads(models)
        self._learnt = np.asarray(learnt).tolist()
        self._incomplete = np.asarray(incomplete).tolist()

    def _identity(self) -> dict[str, object]:
        return {"version": VERSION, "river": version("river"), "kind": self._kind, "params": self._params}

    def _fresh(self) -> Any:
        model = construct(
            load_class(self._kind, what="a detector class"), self._params, path=self._kind, defaults=SEEDED
        )
        core = _core(model)
        if (gaussian := getattr(core, "gaussian", None)) is not None:
            # 4 KB of random state for Gaussian.sample(), which nothing here calls; a windowed one is wrapped.
            getattr(gaussian, "obj", gaussian)._rng = None
        return model

    def _forget(self, slot: int) -> None:
        self._models[slot], self._learnt[slot], self._incomplete[slot] = None, 0, 0

    def _rows(self, batch: Batch) -> Iterator[tuple[int, dict[str, float], float]]:
        """Slot, features that are not missing, and value of each row."""
        slots = slot_column(batch.slots, len(self._models)).tolist()
        values = np.clip(batch.values, -LIMIT, LIMIT).tolist()
        if not self._takes_features:
            yield from ((slot, {}, value) for slot, value in zip(slots, values, strict=True))
            return
        names = self._feature_names
        features = np.clip(batch.features, -LIMIT, LIMIT)
        missing = np.isnan(features).sum(axis=1).tolist()
        for slot, row, gaps, value in zip(slots, features.tolist(), missing, values, strict=True):
            x = dict(zip(names, row, strict=True))
            yield slot, {name: v for name, v in x.items() if not math.isnan(v)} if gaps else x, value

    def _may_teach(self, slot: int, x: dict[str, float]) -> bool:
        if len(x) == len(self._feature_names):
            return True
        if self._learnt[slot] == 0 and self._incomplete[slot] < MAX_INCOMPLETE_ROWS:
            self._incomplete[slot] += 1
            return False
        return bool(x) or self._takes_value

    def _score_one(self, model: Any, x: dict[str, float], y: float) -> float:
        if self._gaussian and (score := self._without_variance(model, y)) is not None:
            return score
        try:
            score = model.score_one(x, y) if self._takes_value else model.score_one(x)
        except FAILURES:
            return math.nan
        return math.nan if score is None or not math.isfinite(score) else float(score)

    def _without_variance(self, model: Any, y: float) -> float | None:
        """GaussianScorer's score in the limit of variance 0; None when there is a variance to go by."""
        gaussian = (_core(model) if self._wrapped else model).gaussian
        mean, deviation = gaussian.mu, gaussian.sigma
        noise = NOISE * abs(mean)
        # A windowed variance that should be 0 can turn out negative, and its root complex.
        if isinstance(deviation, complex) or deviation <= noise:
            return float(abs(y - mean) > noise)
        return None

    def _scored(self, model: Any, x: dict[str, float], y: float) -> Any:
        """The model after scoring, for the one kind that learns from it; as it was when the score is no number."""
        after = copy.deepcopy(model)
        return model if math.isnan(self._score_one(after, x, y)) else after

    def _learn_one(self, model: Any, x: dict[str, float], y: float) -> None:
        if self._takes_value:
            model.learn_one(x, y)
        else:
            model.learn_one(x)

    def _check(self, model: Any, core: Any) -> None:
        """Raise KindError for what would only be found at the first readings."""
        from river import base, compose

        kind, name = self._kind, type(core).__name__
        if not isinstance(core, base.AnomalyDetector | base.SupervisedAnomalyDetector):
            raise KindError(f"{kind}: {name} is not an anomaly detector of River; river.anomaly holds them")
        if self._takes_value and isinstance(model, compose.Pipeline):
            raise KindError(f"{kind}: River's Pipeline hands no value on to {name}: use {name} without a Pipeline")
        if not self._takes_value and not self._feature_names:
            raise KindError(f"{kind}: {name} judges features, and none are configured")
        window, grace = getattr(core, "window_size", None), getattr(core, "grace_period", 0)
        if window and window < grace:
            raise KindError(f"{kind}: window_size = {window} is less than grace_period = {grace}: it would never score")
        x = dict.fromkeys(self._feature_names, 0.5)
        try:
            for _ in range(min(self._warm_up, MAX_TRIAL_ROWS)):
                self._learn_one(model, x, 0.5)
            model.score_one(x, 0.5) if self._takes_value else model.score_one(x)
            pickle.dumps(model)
        except (ArithmeticError, ValueError):
            pass  # a constant may be too little to compute with; here only the calls are tried
        except Exception as error:
            raise KindError(f"{kind}: scoring a trial reading failed: {told(error)}") from error


def bytes_of(model: Any) -> int:
    """Memory of a River object. River cannot see into the compiled ones among its parts; their pickle tells."""
    return max(int(model._raw_memory_usage), len(pickle.dumps(model, protocol=5)))


def _core(model: Any) -> Any:
    """The detector within filters and pipelines."""
    from river import base, compose

    while True:
        if isinstance(model, compose.Pipeline):
            model = list(model.steps.values())[-1]
        elif isinstance(model, base.AnomalyFilter):
            model = model.anomaly_detector
        else:
            return model


def _own_warm_up(core: Any) -> int:
    """Rows during which River's detectors say 0 for "unknown"."""
    from river import anomaly

    if isinstance(core, anomaly.HalfSpaceTrees):
        return int(core.window_size)
    for name in ("grace_period", "warmup_period"):
        if (rows := getattr(core, name, None)) is not None:
            return int(rows)
    return DEFAULT_WARM_UP
