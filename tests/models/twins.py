"""A compiled twin and River by the adapter over the same rows: what both are asked in the tests of the twins."""

from collections.abc import Iterable

import numpy as np
import pytest

from models.detector import Batch, Detector, Floats


def batch_of(values: Floats, features: Floats | None = None) -> Batch:
    """One reading of each sensor."""
    zeros = np.zeros(len(values), np.int64)
    matrix = np.zeros((len(values), 0)) if features is None else features
    return Batch(np.arange(len(values)), zeros, values, matrix, zeros, zeros)


def assert_same_scores(twin: Detector, river: Detector, batches: Iterable[Batch], *, within: float) -> Floats:
    """Each batch is scored, compared and learnt; returns the last scores. within: absolute, and relative to 1."""
    scores = np.zeros(0)
    for row, batch in enumerate(batches):
        for detector in (twin, river):
            detector.grow(len(batch))
        scores, expected = twin.score(batch), river.score(batch)
        assert scores.tolist() == pytest.approx(expected.tolist(), rel=within, abs=within, nan_ok=True), f"row {row}"
        for detector in (twin, river):
            detector.learn(batch)
    return scores
