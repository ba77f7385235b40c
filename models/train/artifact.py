"""From rows to two models with their manifests, float32 and int8, each measured before it is given out."""

import datetime
import hashlib
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from models.detector import Floats
from models.manifest import Input, Manifest
from models.tflite_model import TFLiteModel
from models.train import autoencoder, evaluation
from models.train.evaluation import Examples, Rightness
from models.train.flatbuffer import float32_model, int8_model

DEVIATIONS = 8.0
"""The range 0 .. 1 of a scaled feature, in standard deviations of its sensor."""
TRIAL_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Origin:
    """What a manifest says of where a model comes from. trained_on: a phrase; rows: how many taught it."""

    name: str
    trained_on: str
    seed: int
    created: datetime.date
    license: str = "MIT"


@dataclass(frozen=True, slots=True)
class Parity:
    """How far a model is off what it was made of, in standard deviations; root mean square and largest of all outputs.

    float32 from scikit-learn's network, int8 from float32; half of the rows are normal ones, half anything.
    """

    typical: float
    largest: float


@dataclass(frozen=True, slots=True)
class Made:
    """A model, measured."""

    manifest: Manifest
    content: bytes
    rightness: Rightness
    parity: Parity


def make(
    rows: Floats,
    *,
    features: Mapping[str, str],
    validation: Sequence[Examples],
    unseen: Sequence[Examples],
    kinds: Sequence[str],
    origin: Origin,
    epochs: int,
    on_epoch: Callable[[float], None] = lambda share: None,
) -> tuple[Made, Made]:
    """The float32 and the int8 model.

    rows: (n, k) normal rows to learn from, scaled, none missing. features: unit by name, in the order of the columns.
    validation: examples to take the threshold from. unseen: examples to measure with; kinds: names of their kinds 1 ...
    """
    network = autoencoder.trained(rows, seed=origin.seed, epochs=epochs, on_epoch=on_epoch)
    layers = autoencoder.layers_of(network)
    rng = np.random.default_rng(origin.seed)
    trial = np.concatenate([rng.permutation(rows)[:TRIAL_ROWS], rng.random((TRIAL_ROWS, rows.shape[1]))])
    float32 = float32_model(layers, f"{origin.name}, float32")
    int8 = int8_model(layers, autoencoder.int8_scales(layers, trial), f"{origin.name}, int8")
    reference = autoencoder.predicted(network, trial)
    made: list[Made] = []
    for suffix, content in (("", float32), ("-int8", int8)):
        draft = _draft(origin, suffix, content, features)
        model = TFLiteModel(draft, content)
        given = model.run(trial)
        off = DEVIATIONS * np.abs(given - reference)
        parity = Parity(float(np.sqrt((off * off).mean())), float(off.max()))
        rightness = _measured(model, validation, unseen, len(kinds))
        card = _card(origin, len(rows), len(content), rightness, kinds, suffix, parity)
        thresholds = {"best F1 on simulated faults": round(rightness.threshold, 4)}
        made.append(Made(msgspec.structs.replace(draft, card=card, thresholds=thresholds), content, rightness, parity))
        reference = given
    return made[0], made[1]


def scores(model: TFLiteModel, features: Floats) -> Floats:
    """(n, k) -> (n,) as models.tflite.TFLite scores a reconstruction."""
    off = DEVIATIONS * (model.run(features) - features)
    squares: Floats = (off * off).mean(axis=1)
    return squares


def _draft(origin: Origin, suffix: str, content: bytes, features: Mapping[str, str]) -> Manifest:
    digest = hashlib.sha256(content).hexdigest()
    return Manifest(
        name=origin.name + suffix,
        version=digest[:8],  # another model can never have the same
        file=f"{origin.name}{suffix}.tflite",
        sha256=digest,
        features=tuple(Input(name, unit) for name, unit in features.items()),
        scaling="sensor",
        output="reconstruction",
        trained_on=origin.trained_on,
        training_seed=origin.seed,
        created=origin.created,
        license=origin.license,
    )


def _measured(model: TFLiteModel, validation: Sequence[Examples], unseen: Sequence[Examples], kinds: int) -> Rightness:
    threshold, known = (
        evaluation.windows(some, [scores(model, one.features) for one in some]) for some in (validation, unseen)
    )
    return evaluation.judge(known, evaluation.best_threshold(threshold), kinds)


def _card(
    origin: Origin, rows: int, size: int, found: Rightness, kinds: Sequence[str], suffix: str, parity: Parity
) -> str:
    hidden = " and ".join(str(width) for width in autoencoder.HIDDEN)
    whole = "int8 weights and activations, one scale a layer" if suffix else "float32"
    made_of = "the float32 model" if suffix else "scikit-learn's network"
    version = "4 (int8)" if suffix else "1 (float32)"
    seen = ", ".join(
        f"{kind} {f1:.2f} (recall {recall:.2f})"
        for kind, f1, recall, count in zip(kinds, found.f1_of, found.recall, found.windows, strict=True)
        if count
    )
    paragraphs = (
        f"A denoising autoencoder with {hidden} hidden units; {whole}; {size:,} bytes.",
        "Use: one detector among several, on single sensors that send at regular intervals. It tells how far a reading "
        "is from what is usual for its own sensor; it knows nothing of units, types, time of day or other sensors.",
        f"Data: {rows:,} rows without faults, {origin.trained_on}.",
        f"Measured: on simulated sensors with seeds it has not seen, {evaluation.WINDOW} readings judged as one, one "
        f"threshold ({found.threshold:.2f}) for all sensors: F1 {found.f1:.2f}, false alarms in {found.alarms:.2%} of "
        f"the normal windows. F1 of each kind of fault against all normal windows: {seen}.",
        "Limits: a stuck sensor is hardly told from a quiet one (rules and other detectors are for that); a drift is "
        "seen only when it has gone far; short noise bursts of sensors that send seldom are missed; silence has no "
        "reading to be seen by. Simulated faults are simpler than real ones: figures on your data will differ.",
        f"Parity: {parity.typical:.1e} standard deviations from {made_of} (root mean square), {parity.largest:.1e} at "
        "most, over normal and arbitrary rows.",
        f"Operators: FULLY_CONNECTED with fused ReLU only, version {version}; runs also on tflite-runtime's "
        "Interpreter. The same seed gives the same file on one kind of processor.",
    )
    return "\n".join(textwrap.fill(paragraph, 110) for paragraph in paragraphs)
