"""Any River drift detector, one instance per sensor. River itself is imported only when one is built.

Flexible, not fast: a Python call per value. Numbers beyond +-1e100 are taken as +-1e100, and a sensor whose detector
fails to compute starts afresh.
"""

import math
import pickle
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

from models.detector import Floats, Slots, check_state
from models.drift import Flags
from models.importing import KindError, construct, load_class, told
from models.river_adapter import FAILURES, LIMIT, SEEDED, bytes_of
from models.slots import slot_column

VERSION = 1
TRIAL_ROWS = 50


class RiverDrift:
    """A River drift detector (`update`, `drift_detected`) for every sensor of a shard.

    kind: import path, such as "river.drift.ADWIN".
    params: its keyword arguments; a seed left out is 0.

    Raises KindError, with one line for people, when it cannot be built or watches no numbers.
    """

    def __init__(self, *, kind: str, params: Mapping[str, Any] | None = None) -> None:
        self._kind, self._params = kind, dict(params or {})
        self._check(self._fresh())
        self._models: list[Any] = []

    def grow(self, sensors: int) -> None:
        """See DriftDetector. A sensor's object is made with its first value."""
        self._models += [None] * (sensors - len(self._models))

    def update(self, slots: Slots, values: Floats) -> Flags:
        """See DriftDetector. River's objects start afresh by themselves, with the value after a drift."""
        drifted = np.zeros(len(slots), np.bool_)
        numbers = np.clip(values, -LIMIT, LIMIT).tolist()
        for row, (slot, value) in enumerate(zip(slot_column(slots, len(self._models)).tolist(), numbers, strict=True)):
            if math.isnan(value):
                continue
            if self._models[slot] is None:
                self._models[slot] = self._fresh()
            try:
                self._models[slot].update(value)
                drifted[row] = self._models[slot].drift_detected
            except FAILURES:
                self._models[slot] = None
        return drifted

    def reset(self, slots: Slots) -> None:
        """See DriftDetector."""
        for slot in slot_column(slots, len(self._models)).tolist():
            self._models[slot] = None

    @property
    def nbytes(self) -> int:
        """See DriftDetector. Estimated: one sensor stands for all."""
        models = [model for model in self._models if model is not None]
        return bytes_of(models[0]) * len(models) if models else 0

    def state(self) -> dict[str, object]:
        """See DriftDetector. Pickled for the same reason as in RiverDetector, so it fits one version of River only."""
        return {**self._identity(), "models": pickle.dumps(self._models, protocol=5)}

    def load(self, state: dict[str, object]) -> None:
        """See DriftDetector. Raises ValueError also for the state of another version of River."""
        check_state(state, **self._identity())
        models = state["models"]
        assert isinstance(models, bytes)
        self._models = pickle.loads(models)

    def _identity(self) -> dict[str, object]:
        return {"version": VERSION, "river": version("river"), "kind": self._kind, "params": self._params}

    def _fresh(self) -> Any:
        found = load_class(self._kind, what="a drift detector class")
        return construct(found, self._params, path=self._kind, defaults=SEEDED)

    def _check(self, model: Any) -> None:
        from river import base

        kind, name = self._kind, type(model).__name__
        if not isinstance(model, base.DriftDetector):
            more = ", but of errors, true or false" if isinstance(model, base.BinaryDriftDetector) else ""
            raise KindError(f"{kind}: {name} is not a detector of drift in numbers{more}; river.drift holds them")
        try:
            for row in range(TRIAL_ROWS):
                model.update(row / TRIAL_ROWS)
            pickle.dumps(model)
        except Exception as error:
            raise KindError(f"{kind}: watching a trial of numbers failed: {told(error)}") from error
