"""A trained model in a .tflite file as a detector: an autoencoder, or any model that gives a score per row."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.compiled import compiled
from models.detector import Batch, Floats, Slots, check_state
from models.manifest import SHIPPED, ManifestError, read_manifest, read_model
from models.slots import column, resized, slot_column
from models.tflite_model import Kernels, TFLiteModel

WARM_UP = 20
"""Readings a sensor must have taught before it is scored: until then its scaled features stand on little."""
MAX_SCORE = 1e12
"""Scores end here, so that they stay finite."""

VERSION = 1

_DEVIATIONS = 8.0
"""The whole range 0 .. 1 of a scaled feature, in standard deviations of its sensor."""

Counts = npt.NDArray[np.uint16]


class TFLite:
    """Score: mean over the features of (model's output - feature) ** 2, 0 .. MAX_SCORE; or the model's own score.

    Features that are scaled to the sensor's past are compared in its standard deviations: 1 is one standard deviation
    off in every feature. Others are compared in their own units. Unknown (NaN) until a sensor has taught WARM_UP
    readings, and for a reading that lacks a feature.

    manifest: path of the manifest.toml that names the model, see models.manifest; the model that is shipped when left
        out. Another model takes over with the next start, by another manifest: sensors go on, and the flow calibrates
        the new scores. Two of these with different manifests run side by side.
    kernels: "exact" for the same scores on every machine of a kind; "fast" for large models, see models.tflite_model.

    A sensor takes 2 bytes; the interpreters of the shipped model 200 KB a detector. Not picklable.
    Raises ManifestError, with one line on what to do, when the model is missing, damaged, or does not fit.
    """

    def __init__(self, feature_names: tuple[str, ...], *, manifest: str = "", kernels: Kernels = "exact") -> None:
        if kernels not in ("exact", "fast"):
            raise ValueError(f'kernels = {kernels!r}: must be "exact" or "fast"')
        path = Path(manifest) if manifest else SHIPPED
        read = read_manifest(path)
        content = read_model(read, path)
        if tuple(feature_names) != read.feature_names:
            raise ManifestError(
                f"model {read.model} takes the features {list(read.feature_names)}, configured are "
                f"{list(feature_names)}: configure the model's, in its order"
            )
        self._model = TFLiteModel(read, content, kernels=kernels)
        self._name = read.model
        self._reconstructs = read.output == "reconstruction"
        self._scaled = read.scaling == "sensor"
        self._unit = _DEVIATIONS if self._scaled else 1.0
        self._sensors = 0
        self._learnt: Counts = np.zeros(0, np.uint16)

    def grow(self, sensors: int) -> None:
        """See Detector."""
        self._learnt = resized(self._learnt, sensors, 0)
        self._sensors = max(self._sensors, sensors)

    def score(self, batch: Batch) -> Floats:
        """See Detector. Raises RuntimeError when the interpreter fails."""
        slots = slot_column(batch.slots, self._sensors)
        features = column(batch.features, np.float64)
        outputs = self._model.run(features)
        low, high = self._model.limits
        return _scores(self._learnt, slots, features, outputs, self._reconstructs, self._unit, low, high)

    def learn(self, batch: Batch) -> None:
        """See Detector: the model stays as it is, the sensor is known better."""
        _learn(self._learnt, slot_column(batch.slots, self._sensors))

    def reset(self, slots: Slots) -> None:
        """See Detector."""
        self._learnt[slot_column(slots, self._sensors)] = 0

    def version_of(self, group: int) -> str:
        """See Versioned: "NAME VERSION" of the manifest, the same for all groups."""
        return self._name

    @property
    def scaled(self) -> bool:
        """See Particular: as the manifest says."""
        return self._scaled

    @property
    def nbytes(self) -> int:
        """See Detector."""
        return self._learnt.nbytes

    def state(self) -> dict[str, object]:
        """See Detector. Nothing of the model: a state goes on under another one."""
        return {"version": VERSION, "learnt": self._learnt[: self._sensors].copy()}

    def load(self, state: dict[str, object]) -> None:
        """See Detector; also from a state made with another model."""
        check_state(state, version=VERSION)
        self._learnt = np.array(state["learnt"], np.uint16)
        self._sensors = len(self._learnt)


@compiled
def _learn(learnt: Counts, slots: Slots) -> None:
    for slot in slots:
        learnt[slot] = min(learnt[slot] + 1, 65_535)


@compiled
def _scores(
    learnt: Counts,
    slots: Slots,
    features: Floats,
    outputs: Floats,
    reconstructs: bool,
    unit: float,
    low: float,
    high: float,
) -> Floats:
    scores = np.full(len(slots), np.nan)
    width = features.shape[1]
    for row in range(len(slots)):
        if learnt[slots[row]] < WARM_UP:
            continue
        complete, squares = True, 0.0
        for k in range(width):
            feature = features[row, k]
            complete = complete and not np.isnan(feature)
            if reconstructs:
                squares += (unit * (outputs[row, k] - min(max(feature, low), high))) ** 2
        if complete:
            score = squares / width if reconstructs else outputs[row, 0]
            scores[row] = min(max(score, -MAX_SCORE), MAX_SCORE) if not np.isnan(score) else np.nan
    return scores
