"""From a configured kind of detector to a detector, or to one line that says what is wrong with it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from models.absolute_deviation import StandardAbsoluteDeviation
from models.detector import Batch, Detector
from models.drift import DriftDetector
from models.gaussian import GaussianScorer
from models.half_space_trees import HalfSpaceTrees
from models.importing import KindError, construct, load_class, told
from models.page_hinkley import PageHinkley
from models.river_adapter import RiverDetector
from models.river_drift import RiverDrift


class _Twin(NamedTuple):
    """A compiled class that does what one of River's does, with those parameters that it covers."""

    made: type
    covers: Callable[[Mapping[str, Any]], bool] = lambda params: True


_TWINS = {
    "river.anomaly.HalfSpaceTrees": _Twin(HalfSpaceTrees, HalfSpaceTrees.covers),
    "river.anomaly.GaussianScorer": _Twin(GaussianScorer),
    "river.anomaly.StandardAbsoluteDeviation": _Twin(StandardAbsoluteDeviation, StandardAbsoluteDeviation.covers),
}
_DRIFT_TWINS = {"river.drift.PageHinkley": _Twin(PageHinkley)}

_PARTS = ("grow", "score", "learn", "reset", "nbytes", "state", "load")
_DRIFT_PARTS = ("grow", "update", "reset", "nbytes", "state", "load")


def build(kind: str, feature_names: tuple[str, ...], params: Mapping[str, Any]) -> Detector:
    """A detector without sensors yet.

    kind: import path of a class that is a Detector ("models.rolling_z.RollingZ", or one's own), or of an anomaly
        detector of River ("river.anomaly.LODA", or a subclass). The latter runs through RiverDetector, unless it has a
        compiled twin for these parameters.
    params: its keyword arguments; for River's also `warm_up`, see RiverDetector.

    Raises KindError: no such class, not a detector, a parameter it does not take, or it fails on a trial reading.
    """
    found = _twin(_TWINS, kind, params) or load_class(kind, what="a detector class")
    if _is_rivers(found):
        return _river(kind, feature_names, dict(params))
    _check_parts(kind, found, _PARTS, noun="a detector", see="models.detector.Detector")
    provided = {"feature_names": feature_names}
    _try(kind, construct(found, params, path=kind, provided=provided), len(feature_names))
    detector: Detector = construct(found, params, path=kind, provided=provided)
    return detector


def build_drift(kind: str, params: Mapping[str, Any]) -> DriftDetector:
    """A drift detector without sensors yet.

    kind: import path of a drift detector of River ("river.drift.ADWIN", or a subclass), or of a class that is a
        DriftDetector. River's runs through RiverDrift, unless it has a compiled twin.
    params: its keyword arguments.

    Raises KindError as `build` does.
    """
    found = _twin(_DRIFT_TWINS, kind, params) or load_class(kind, what="a drift detector class")
    if _is_rivers(found):
        return RiverDrift(kind=kind, params=params)
    _check_parts(kind, found, _DRIFT_PARTS, noun="a drift detector", see="models.drift.DriftDetector")
    _try_drift(kind, construct(found, params, path=kind))
    detector: DriftDetector = construct(found, params, path=kind)
    return detector


def implementation(kind: str, params: Mapping[str, Any]) -> str:
    """What `build` or `build_drift` takes for this kind, for people. Raises KindError for a class that is not there."""
    if (twin := _twin(_TWINS | _DRIFT_TWINS, kind, params)) is not None:
        return f"{twin.__module__}.{twin.__qualname__} (compiled twin of {kind})"
    if _is_rivers(load_class(kind, what="a detector class")):
        return f"{kind} by the adapter, one object per sensor"
    return kind


def _twin(twins: Mapping[str, _Twin], kind: str, params: Mapping[str, Any]) -> type | None:
    """By the path alone, so that River need not be imported."""
    twin = twins.get(kind)
    return twin.made if twin is not None and twin.covers(params) else None


def _is_rivers(found: type) -> bool:
    return any(base.__module__.split(".")[0] == "river" for base in found.__mro__)


def _check_parts(kind: str, found: type, parts: tuple[str, ...], *, noun: str, see: str) -> None:
    if missing := [part for part in parts if not hasattr(found, part)]:
        raise KindError(f"{kind} is not {noun}: it lacks {', '.join(missing)}; see {see}")


def _river(kind: str, feature_names: tuple[str, ...], params: dict[str, Any]) -> Detector:
    warm_up = params.pop("warm_up", None)
    if warm_up is not None and not (isinstance(warm_up, int) and warm_up >= 1):
        raise KindError(f"{kind}: warm_up = {warm_up!r}: must be a number of readings, at least 1")
    return RiverDetector(feature_names, kind=kind, params=params, warm_up=warm_up)


def _try(kind: str, detector: Detector, features: int) -> None:
    """A mistake in a detector of one's own is found at start, not at the first reading; and kernels are compiled."""
    slots = np.array([1], np.int64)
    zero = np.array([0], np.int64)
    batch = Batch(slots, zero, np.array([0.5]), np.full((1, features), 0.5), zero, zero)
    try:
        detector.grow(2)
        scores = detector.score(batch)
        detector.learn(batch)
        detector.load(detector.state())
        detector.reset(slots)
    except Exception as error:
        raise KindError(f"{kind}: a trial with one reading failed: {told(error)}") from error
    if not isinstance(scores, np.ndarray) or scores.shape != (1,) or scores.dtype != np.float64:
        raise KindError(f"{kind}: score() must give a float64 array of shape (n,), one score per row")


def _try_drift(kind: str, detector: DriftDetector) -> None:
    slots = np.array([1], np.int64)
    try:
        detector.grow(2)
        drifted = detector.update(slots, np.array([0.5]))
        detector.load(detector.state())
        detector.reset(slots)
    except Exception as error:
        raise KindError(f"{kind}: a trial with one value failed: {told(error)}") from error
    if not isinstance(drifted, np.ndarray) or drifted.shape != (1,) or drifted.dtype != np.bool_:
        raise KindError(f"{kind}: update() must give a bool array of shape (n,), one per value")
