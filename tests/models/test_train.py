"""Training: files that any interpreter reads, equal to what was trained; figures that are right."""

import datetime
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from models import scaling, tflite
from models.detector import Batch, Floats
from models.manifest import Input, Manifest, write
from models.tflite import WARM_UP, TFLite
from models.tflite_model import TFLiteModel
from models.train import artifact, autoencoder, evaluation
from models.train.artifact import Made, Origin, make, scores
from models.train.autoencoder import int8_scales, layers_of, predicted, spoilt, trained
from models.train.evaluation import LOOK_BACK, WINDOW, Examples, Windows, best_threshold, judge, windows
from models.train.flatbuffer import Layer, float32_model, int8_model
from tests.models.tflite_files import random_layers

KINDS = ("far", "odd", "never")
ROOT = Path(__file__).parents[2]


def opened(content: bytes, width: int) -> TFLiteModel:
    names = tuple(Input(f"f{i}") for i in range(width))
    manifest = Manifest(
        name="m", version="1", file="m.tflite", sha256="0" * 64, features=names, output="reconstruction"
    )
    return TFLiteModel(manifest, content)


def by_numpy(layers: list[Layer], x: Floats) -> Floats:
    for layer in layers:
        x = x @ layer.weights.T.astype(np.float64) + layer.bias
        x = np.maximum(x, 0) if layer.relu else x
    return x


def toy_rows(n: int, seed: int) -> Floats:
    """Three features of which the second follows the first, and the third is quiet."""
    rng = np.random.default_rng(seed)
    first = rng.normal(0, 0.12, n)
    return np.clip(0.5 + np.column_stack([first, 0.9 * first + rng.normal(0, 0.01, n), rng.normal(0, 0.02, n)]), 0, 1)


def toy_examples(seed: int) -> Examples:
    """Two sensors in turn; one has far readings, the other odd ones."""
    features = toy_rows(4000, seed)
    sensor, kind = np.arange(4000) % 2, np.zeros(4000, np.uint8)
    features[1000:1400:2] = [1.0, 0.0, 0.5]
    kind[1000:1400:2] = 1
    features[2001:2401:2, 2] = 1.0
    kind[2001:2401:2] = 2
    features[:20] = np.nan
    return Examples(features, sensor, kind)


def toy(seed: int, told: Callable[[float], None] = lambda share: None) -> tuple[Made, Made]:
    return make(
        toy_rows(4000, 1),
        features={"a": "V", "b": "V", "c": ""},
        validation=[toy_examples(2)],
        unseen=[toy_examples(3)],
        kinds=KINDS,
        origin=Origin(name="toy", trained_on="toy rows", seed=seed, created=datetime.date(2026, 11, 25)),
        epochs=4,
        on_epoch=told,
    )


@pytest.fixture(scope="module")
def made() -> tuple[Made, Made]:
    return toy(4)


@pytest.mark.parametrize("widths", [(1, 1), (3, 8, 3), (12, 40, 4, 40, 12)])
def test_a_float32_file_computes_what_its_layers_say(widths: tuple[int, ...]) -> None:
    layers = random_layers(widths)
    rows = np.random.default_rng(1).uniform(0, 1, (300, widths[0]))
    given = opened(float32_model(layers, "test"), widths[0]).run(rows)
    np.testing.assert_allclose(given, by_numpy(layers, rows), atol=3e-6)


def test_an_int8_file_stays_close_to_its_layers() -> None:
    layers = random_layers((6, 16, 6))
    rows = np.random.default_rng(1).uniform(0, 1, (300, 6))
    given = opened(int8_model(layers, int8_scales(layers, rows), "test"), 6).run(rows)
    wanted = by_numpy(layers, rows)
    assert np.abs(given - wanted).max() < 0.03 * np.ptp(wanted)


@pytest.mark.parametrize("quantized", [False, True], ids=["float32", "int8"])
def test_files_ask_old_interpreters_for_nothing_new(quantized: bool) -> None:
    layers = random_layers((3, 8, 3))
    rows = np.random.default_rng(1).uniform(0, 1, (50, 3))
    content = int8_model(layers, int8_scales(layers, rows), "") if quantized else float32_model(layers, "")
    model = schema.ModelT.InitFromPackedBuf(content)
    [operator] = model.operatorCodes
    assert operator.builtinCode == operator.deprecatedBuiltinCode == schema.BuiltinOperator.FULLY_CONNECTED
    assert operator.version == (4 if quantized else 1)
    assert model.version == 3
    assert len(model.subgraphs[0].operators) == 2
    kinds = {tensor.type for tensor in model.subgraphs[0].tensors}
    assert kinds == ({schema.TensorType.INT8, schema.TensorType.INT32} if quantized else {schema.TensorType.FLOAT32})


def test_layers_give_what_scikit_learn_gives() -> None:
    rows = toy_rows(600, 1)
    network = trained(rows, seed=1, epochs=2)
    given = opened(float32_model(layers_of(network), ""), 3).run(rows)
    np.testing.assert_allclose(given, predicted(network, rows), atol=2e-6)


def test_half_of_the_rows_are_spoilt_and_stay_in_range() -> None:
    rows = np.random.default_rng(1).normal(0, 0.1, (4000, 5))
    given = spoilt(rows, np.random.default_rng(2))
    untouched = (given == rows).all(axis=1).mean()
    assert 0.5 < untouched < 0.62, "half, and those where chance spared every feature"
    assert np.abs(given).max() <= 1
    assert 0.2 < (given != rows).mean() < 0.3


def test_the_same_seed_makes_the_same_files_and_tells_how_far_it_is(made: tuple[Made, Made]) -> None:
    told: list[float] = []
    again = toy(4, told.append)
    assert [one.content for one in again] == [one.content for one in made]
    assert told == [0.25, 0.5, 0.75, 1.0]
    assert toy(5)[0].manifest.version != made[0].manifest.version


def test_what_is_made_tells_the_faults_and_says_how_well(made: tuple[Made, Made]) -> None:
    for one in made:
        assert one.rightness.f1 > 0.85
        assert one.rightness.recall[:2] == (1.0, 1.0)
        assert np.isnan(one.rightness.recall[2])
        assert one.rightness.alarms < 0.05
        assert "far" in one.manifest.card
        assert "never" not in one.manifest.card
        assert one.manifest.training_seed == 4
        assert one.manifest.features == (Input("a", "V"), Input("b", "V"), Input("c", ""))
    float32, int8 = made
    assert float32.parity.largest < 1e-4
    assert float32.parity.largest < int8.parity.typical < 0.5
    assert len(int8.content) < len(float32.content) < 5000
    assert (float32.manifest.name, int8.manifest.name) == ("toy", "toy-int8")


def test_figures_are_of_the_scores_that_the_detector_gives(made: tuple[Made, Made], tmp_path: Path) -> None:
    path = tmp_path / "manifest.toml"
    write(made[0].manifest, made[0].content, path)
    detector = TFLite(("a", "b", "c"), manifest=str(path))
    detector.grow(50)
    slots = np.arange(50)
    batch = Batch(slots, slots, np.zeros(50), toy_rows(50, 9), slots, slots)
    for _ in range(WARM_UP):
        detector.learn(batch)
    np.testing.assert_allclose(detector.score(batch), scores(opened(made[0].content, 3), batch.features), rtol=1e-12)


def test_readings_after_a_fault_are_not_settled() -> None:
    rng = np.random.default_rng(3)
    sensor = rng.integers(0, 3, 1500)
    kind = (rng.random(1500) < 0.01).astype(np.uint8)
    features = np.where(rng.random((1500, 2)) < 0.01, np.nan, 0.5)
    settled = Examples(features, sensor, kind).settled()
    for row in range(1500):
        before = np.flatnonzero(sensor[: row + 1] == sensor[row])[-LOOK_BACK - 1 :]
        assert settled[row] == (not kind[before].any() and not np.isnan(features[row]).any())
    assert 0.2 < settled.mean() < 0.9


def test_windows_are_stretches_of_one_sensor() -> None:
    n = 4 * WINDOW
    sensor = np.arange(n) % 2
    kind = np.zeros(n, np.uint8)
    kind[n - 1] = 2
    score = np.arange(n, dtype=np.float64)
    found = windows([Examples(np.full((n, 1), 0.5), sensor, kind)], [score])
    assert sorted(found.score) == [2 * WINDOW - 2, 2 * WINDOW - 1, n - 2, n - 1]
    assert found.kind[found.score == n - 1] == 2
    assert found.kind.sum() == 2


def test_windows_leave_out_what_a_fault_still_reaches_and_what_has_no_score() -> None:
    n = 6 * WINDOW
    kind = np.zeros(n, np.uint8)
    kind[0] = 1
    score = np.zeros(n)
    score[1:LOOK_BACK] = 100.0
    score[-WINDOW:] = np.nan
    found = windows([Examples(np.full((n, 1), 0.5), np.zeros(n, np.int64), kind)], [score])
    assert found.score.max() == 0.0
    assert len(found.score) == 5


def test_rightness_by_hand() -> None:
    found = Windows(np.array([5.0, 1, 1, 9, 9, 2, 9, 2]), np.array([0, 0, 0, 0, 1, 1, 2, 0], np.uint8))
    right = judge(found, 4.0, 3)
    assert (right.alarms, right.windows, right.recall[:2]) == (2 / 5, (2, 1, 0), (0.5, 1.0))
    assert right.f1 == pytest.approx(2 * 2 / (2 * 2 + 2 + 1))
    assert right.f1_of[:2] == pytest.approx((2 / (2 + 2 + 1), 2 / (2 + 2)))
    assert np.isnan([right.recall[2], right.f1_of[2]]).all()


def test_the_best_threshold_divides_what_can_be_divided() -> None:
    rng = np.random.default_rng(1)
    score = np.concatenate([rng.uniform(0, 1, 1000), rng.uniform(2, 3, 50)])
    found = Windows(score, np.repeat(np.array([0, 1], np.uint8), [1000, 50]))
    threshold = best_threshold(found)
    assert judge(found, threshold, 1).f1 > 0.95
    assert 0.9 < threshold < 2


def test_scales_hold_every_number_and_zero_exactly() -> None:
    layers = random_layers((4, 9, 4))
    rows = np.random.default_rng(1).uniform(0, 1, (200, 4))
    for scale, values in zip(int8_scales(layers, rows), (rows, *autoencoder._passes(layers, rows)), strict=True):
        low, high = ((end - scale.zero) * scale.scale for end in (-128, 127))
        assert low - scale.scale / 2 <= values.min()
        assert values.max() <= high + scale.scale / 2
        assert -128 <= scale.zero <= 127


def test_nothing_of_training_is_imported_by_the_detector() -> None:
    code = "import sys, models.tflite; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"sklearn", "flatbuffers", "models.train"} & set(run.stdout.split())


def test_constants_of_scaling_agree() -> None:
    assert artifact.DEVIATIONS == tflite._DEVIATIONS == 2 * scaling.LIMIT
    assert all(before > after for before, after in pairwise(evaluation._ALARMS))
