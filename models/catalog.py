"""From a configured kind of detector to a detector, or to one line that says what is wrong with it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.detector import Batch, Detector
from models.importing import KindError, construct, load_class, told
from models.river_adapter import RiverDetector

_PARTS = ("grow", "score", "learn", "reset", "nbytes", "state", "load")


def build(kind: str, feature_names: tuple[str, ...], params: Mapping[str, Any]) -> Detector:
    """A detector without sensors yet.

    kind: import path of a class that is a Detector ("models.rolling_z.RollingZ", or one's own), or of an anomaly
        detector of River ("river.anomaly.HalfSpaceTrees", or a subclass), which then runs through RiverDetector.
    params: its keyword arguments; for River's also `warm_up`, see RiverDetector.

    Raises KindError: no such class, not a detector, a parameter it does not take, or it fails on a trial reading.
    """
    found = load_class(kind, what="a detector class")
    if any(base.__module__.split(".")[0] == "river" for base in found.__mro__):
        return _river(kind, feature_names, dict(params))
    if missing := [part for part in _PARTS if not hasattr(found, part)]:
        raise KindError(f"{kind} is not a detector: it lacks {', '.join(missing)}; see models.detector.Detector")
    provided = {"feature_names": feature_names}
    _try(kind, construct(found, params, path=kind, provided=provided), len(feature_names))
    detector: Detector = construct(found, params, path=kind, provided=provided)
    return detector


def _river(kind: str, feature_names: tuple[str, ...], params: dict[str, Any]) -> Detector:
    warm_up = params.pop("warm_up", None)
    if warm_up is not None and not (isinstance(warm_up, int) and warm_up >= 1):
        raise KindError(f"{kind}: warm_up = {warm_up!r}: must be a number of readings, at least 1")
    return RiverDetector(feature_names, kind=kind, params=params, warm_up=warm_up)


def _try(kind: str, detector: Detector, features: int) -> None:
    """A mistake in a detector of one's own is found at start, not at the first reading."""
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
