"""A denoising autoencoder of readings: trained by scikit-learn, given out as layers.

A plain autoencoder learns to copy, and then copies faults as well (F1 0.2 to 0.5 on simulated faults where this one
has 0.8). This one is given normal rows of which half are spoilt, any number of their features replaced by anything
within the range, and must give back the normal row (Vincent et al., Extracting and Composing Robust Features with
Denoising Autoencoders, ICML 2008). So it leads whatever is strange back to what is normal, and the way there is the
score.
"""

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.neural_network import MLPRegressor
from threadpoolctl import threadpool_limits

from models.detector import Floats
from models.train.flatbuffer import Layer, Scale

HIDDEN = (16, 16)
SPOILT = 0.5
COPIES = 3
"""Each row is spoilt in so many ways."""

BATCH = 256
LEARNING_RATE = 2e-3

_CENTRE, _RANGE = 0.5, 0.5
"""The network itself works on features from -1 to 1; the first and last layer change over."""


def trained(
    rows: Floats, *, seed: int, epochs: int, on_epoch: Callable[[float], None] = lambda share: None
) -> MLPRegressor:
    """(n, k) normal rows, features within 0 .. 1, none missing -> a network that takes and gives -1 .. 1.

    on_epoch is told the share of the work done. The same rows and seed give the same weights on one machine; on another
    kind of processor sums are made in another order, and weights differ in their last bits.
    """
    rng = np.random.default_rng(seed)
    wanted = np.tile((rows - _CENTRE) / _RANGE, (COPIES, 1))
    given = spoilt(wanted, rng)
    network = MLPRegressor(
        hidden_layer_sizes=HIDDEN,
        activation="relu",
        alpha=1e-5,
        batch_size=min(BATCH, len(wanted)),
        learning_rate_init=LEARNING_RATE,
        random_state=seed,
    )
    with threadpool_limits(1):  # the order of sums must not depend on the number of processors
        for epoch in range(epochs):
            network.partial_fit(given, wanted)
            on_epoch((epoch + 1) / epochs)
    return network


def spoilt(rows: Floats, rng: np.random.Generator) -> Floats:
    """Rows from -1 to 1; in SPOILT of them each feature is replaced with a chance that is another one for each row."""
    chance = np.where(rng.random(len(rows)) < SPOILT, rng.random(len(rows)), 0.0)
    hit = rng.random(rows.shape) < chance[:, None]
    return np.where(hit, rng.uniform(-1, 1, rows.shape), rows)


def layers_of(network: MLPRegressor) -> list[Layer]:
    """Its layers, changed over to features from 0 to 1."""
    weights = [w.T.copy() for w in network.coefs_]
    biases = [b.copy() for b in network.intercepts_]
    biases[0] -= weights[0].sum(axis=1) * _CENTRE / _RANGE
    weights[0] /= _RANGE
    weights[-1] *= _RANGE
    biases[-1] = biases[-1] * _RANGE + _CENTRE
    last = len(weights) - 1
    return [
        Layer(w.astype(np.float32), b.astype(np.float32), relu=place < last)
        for place, (w, b) in enumerate(zip(weights, biases, strict=True))
    ]


def predicted(network: MLPRegressor, rows: Floats) -> Floats:
    """What scikit-learn itself gives for rows from 0 to 1: what the layers are compared with."""
    given: Floats = network.predict((rows - _CENTRE) / _RANGE)
    return given.reshape(rows.shape) * _RANGE + _CENTRE


def int8_scales(layers: Sequence[Layer], rows: Floats) -> list[Scale]:
    """Scales of the input and of each layer's output, such that what `rows` lead to fits: (n, k) from 0 to 1."""
    outputs = [np.array([[0.0], [1.0]]), *_passes(layers, rows)]
    return [_scale(float(values.min()), float(values.max())) for values in outputs]


def _passes(layers: Sequence[Layer], rows: Floats) -> list[Floats]:
    passes, x = [], rows
    for layer in layers:
        x = x @ layer.weights.T.astype(np.float64) + layer.bias
        x = np.maximum(x, 0.0) if layer.relu else x
        passes.append(x)
    return passes


def _scale(low: float, high: float) -> Scale:
    """256 steps from low to high, with 0 on a step."""
    low, high = min(low, 0.0), max(high, 1e-6)
    scale = float(np.float32((high - low) / 255))
    return Scale(scale, int(np.clip(np.rint(-128 - low / scale), -128, 127)))
