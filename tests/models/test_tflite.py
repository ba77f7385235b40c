"""TFLite: scores, whatever the batches; models that do not fit are refused in one line; another model takes over."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from models import manifest as manifests
from models.catalog import build
from models.detector import Batch, Floats, Versioned
from models.importing import KindError
from models.manifest import SHIPPED, ManifestError, as_toml, read_manifest, read_model
from models.tflite import MAX_SCORE, WARM_UP, TFLite
from models.tflite_model import TFLiteModel
from models.train.autoencoder import int8_scales
from models.train.flatbuffer import float32_model, int8_model
from tests.models.tflite_files import (
    NAMES,
    SHRINK,
    altered,
    random_layers,
    shrinking,
    small,
    stored,
    summing,
)

SHIPPED_INT8 = SHIPPED.with_name("manifest-int8.toml")


def batch(features: Floats) -> Batch:
    n = len(features)
    slots = np.arange(n)
    return Batch(slots, slots, np.zeros(n), features, np.zeros(n, np.int64), slots)


def known(detector: TFLite, sensors: int) -> TFLite:
    """Sensors 0 .. that have warmed up."""
    detector.grow(sensors)
    for _ in range(WARM_UP):
        detector.learn(batch(np.full((sensors, 1), 0.5)))
    return detector


def rows(n: int, width: int, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).uniform(0, 1, (n, width))


def test_scores_are_the_mean_square_of_what_was_not_given_back_in_standard_deviations() -> None:
    features = rows(10, 3)
    scores = known(TFLite(NAMES, manifest=small()), 10).score(batch(features))
    off = 8 * (1 - SHRINK) * (features - 0.5)
    np.testing.assert_allclose(scores, (off * off).mean(axis=1), rtol=1e-5)


def test_features_as_measured_are_compared_in_their_own_units(tmp_path: Path) -> None:
    doubling = shrinking()[1:]
    path = stored(tmp_path, float32_model(doubling, ""), scaling="none")
    scores = known(TFLite(NAMES, manifest=path), 2).score(batch(np.array([[200.0, -7.0, 0.0], [1e300, 0.0, 0.0]])))
    assert scores[0] == pytest.approx(0.35**2, rel=1e-4)
    assert np.isfinite(scores[1])
    assert scores[1] <= MAX_SCORE


def test_a_model_with_one_column_gives_the_score_itself(tmp_path: Path) -> None:
    path = stored(tmp_path, float32_model(summing(), ""), output="score")
    features = np.array([[0.5, 0.5, 0.5], [0.1, 0.2, 0.3], [1.0, 1.0, 1.0]])
    scores = known(TFLite(NAMES, manifest=path), 3).score(batch(features))
    np.testing.assert_allclose(scores, [0.5, 0.0, 2.0], atol=1e-6)


def test_a_reading_that_lacks_a_feature_is_unknown_and_disturbs_no_other() -> None:
    detector = known(TFLite(NAMES, manifest=small()), 40)
    features = rows(40, 3)
    expected = detector.score(batch(features))
    features[7, 1] = np.nan
    scores = detector.score(batch(features))
    assert np.isnan(scores[7])
    np.testing.assert_array_equal(np.delete(scores, 7), np.delete(expected, 7))


def test_features_outside_their_range_are_taken_as_its_end() -> None:
    detector = known(TFLite(NAMES, manifest=small()), 2)
    outside = detector.score(batch(np.array([[1.7e308, 0.5, 0.5], [-np.inf, 0.5, 0.5]])))
    ends = detector.score(batch(np.array([[1.0, 0.5, 0.5], [0.0, 0.5, 0.5]])))
    np.testing.assert_array_equal(outside, ends)


def test_a_sensor_is_unknown_until_it_has_taught_enough() -> None:
    detector = TFLite(NAMES, manifest=small())
    detector.grow(1)
    for _ in range(WARM_UP):
        assert np.isnan(detector.score(batch(rows(1, 3)))[0])
        detector.learn(batch(rows(1, 3)))
    assert np.isfinite(detector.score(batch(rows(1, 3)))[0])


def test_counting_never_turns_over() -> None:
    detector = known(TFLite(NAMES, manifest=small()), 1)
    detector.load({"version": 1, "learnt": np.array([65_534], np.uint16)})
    for _ in range(3):
        detector.learn(batch(rows(1, 3)))
    assert np.isfinite(detector.score(batch(rows(1, 3)))[0])


@pytest.mark.parametrize("kernels", ["exact", "fast"])
@pytest.mark.parametrize("quantized", [False, True], ids=["float32", "int8"])
def test_bits_do_not_depend_on_the_batch(tmp_path: Path, kernels: Literal["exact", "fast"], quantized: bool) -> None:
    names = tuple(f"f{i}" for i in range(7))
    layers = random_layers((7, 33, 5, 33, 7))
    content = int8_model(layers, int8_scales(layers, rows(500, 7)), "") if quantized else float32_model(layers, "")
    detector = known(TFLite(names, manifest=stored(tmp_path, content, names=names), kernels=kernels), 1000)
    features = rows(1000, 7, seed=2)
    whole = detector.score(batch(features))
    rng = np.random.default_rng(3)
    for n in (1, 2, 7, 8, 9, 31, 32, 33, 127, 128, 129, 160, 500, 999):
        some = rng.permutation(1000)[:n]
        np.testing.assert_array_equal(detector.score(batch(features[some])), whole[some])


def test_a_model_that_fails_the_trial_of_places_runs_with_its_own_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = random_layers((3, 8, 3))
    path = stored(tmp_path, float32_model(layers, ""))
    features = rows(40, 3)
    expected = known(TFLite(NAMES, manifest=path), 40).score(batch(features))
    monkeypatch.setattr(TFLiteModel, "_agree", lambda *sizes: False)
    detector = known(TFLite(NAMES, manifest=path), 40)
    np.testing.assert_allclose(detector.score(batch(features)), expected, rtol=1e-5)


def test_a_model_that_cannot_be_resized_runs_with_its_own_rows(tmp_path: Path) -> None:
    """It ends in a RESHAPE to 4 rows."""
    path = stored(tmp_path, altered(float32_model(shrinking(), ""), ends_in_four_rows))
    features = rows(11, 3)
    expected = known(TFLite(NAMES, manifest=small()), 11).score(batch(features))
    np.testing.assert_allclose(known(TFLite(NAMES, manifest=path), 11).score(batch(features)), expected, rtol=1e-5)


def ends_in_four_rows(model: Any) -> None:
    graph = model.subgraphs[0]
    for tensor in graph.tensors:
        if tensor.shapeSignature is not None:
            tensor.shape, tensor.shapeSignature = [4, 3], None
    shape = np.array([4, 3], np.int32)
    model.buffers.append(schema.BufferT(data=np.frombuffer(shape.tobytes(), np.uint8)))
    graph.tensors.append(
        schema.TensorT(name="shape", shape=[2], type=schema.TensorType.INT32, buffer=len(model.buffers) - 1)
    )
    graph.tensors.append(schema.TensorT(name="reshaped", shape=[4, 3], type=schema.TensorType.FLOAT32))
    reshape = schema.BuiltinOperator.RESHAPE
    model.operatorCodes.append(schema.OperatorCodeT(deprecatedBuiltinCode=reshape, builtinCode=reshape, version=1))
    before, count = int(graph.outputs[0]), len(graph.tensors)
    graph.operators.append(schema.OperatorT(opcodeIndex=1, inputs=[before, count - 2], outputs=[count - 1]))
    graph.outputs = [count - 1]


def test_sensors_go_on_under_another_model(tmp_path: Path) -> None:
    old = known(TFLite(NAMES, manifest=small()), 5)
    path = stored(tmp_path, float32_model(random_layers((3, 4, 3)), ""), version="2")
    new = TFLite(NAMES, manifest=path)
    new.load(old.state())
    assert isinstance(new, Versioned)
    assert (old.version_of(0), new.version_of(0), new.version_of(3)) == ("small 1", "small 2", "small 2")
    features = rows(5, 3)
    scores = new.score(batch(features))
    assert np.isfinite(scores).all()
    assert (scores != old.score(batch(features))).all(), "both run side by side"


@pytest.mark.parametrize("path", [SHIPPED, SHIPPED_INT8], ids=["float32", "int8"])
def test_the_shipped_models_tell_the_strange_from_the_usual(path: Path) -> None:
    shipped = read_manifest(path)
    assert len(read_model(shipped, path)) < 10_000
    detector = known(TFLite(shipped.feature_names, manifest="" if path == SHIPPED else str(path)), 200)
    usual = 0.5 + np.random.default_rng(1).normal(0, 0.05, (200, len(shipped.features)))
    assert np.quantile(detector.score(batch(usual)), 0.95) < shipped.thresholds["best F1 on simulated faults"]
    strange = usual.copy()
    strange[:, :3] = 1.0  # value, delta and std as far out as can be
    assert detector.score(batch(strange)).min() > shipped.thresholds["best F1 on simulated faults"]
    assert shipped.training_seed is not None
    assert shipped.license
    assert "F1" in shipped.card
    assert "Limits" in shipped.card


def test_the_shipped_int8_model_is_close_to_the_float32_one() -> None:
    names = read_manifest(SHIPPED).feature_names
    features = 0.5 + np.random.default_rng(1).normal(0, 0.1, (500, len(names))).clip(-0.5, 0.5)
    one, other = (
        np.sqrt(known(TFLite(names, manifest=str(path)), 500).score(batch(features)))
        for path in (SHIPPED, SHIPPED_INT8)
    )
    assert np.abs(one - other).mean() < 0.1, "standard deviations"


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    shipped = read_manifest(SHIPPED)
    odd = msgspec.structs.replace(shipped, card='quotes " and \\ and """\nü', thresholds={"a b": 1e-7}, license="")
    for manifest in (shipped, odd):
        (tmp_path / "manifest.toml").write_text(as_toml(manifest), encoding="utf-8")
        assert read_manifest(tmp_path / "manifest.toml") == manifest


def refused(folder: Path, *, names: tuple[str, ...] = NAMES) -> str:
    """What is said at start of a detector with this manifest."""
    params = {"manifest": str(folder / "manifest.toml")}
    with pytest.raises(KindError) as told:
        build("models.tflite.TFLite", names, params)
    assert "\n" not in str(told.value)
    return str(told.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(Path(small()).parent, tmp_path, dirs_exist_ok=True)
    return tmp_path


def edit(folder: Path, old: str, new: str) -> None:
    text = (folder / "manifest.toml").read_text()
    assert old in text
    (folder / "manifest.toml").write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('name = "small"\n', "", "missing required field `name`"),
        ('version = "1"', 'version = ""', "version: Expected `str` of length >= 1"),
        ('output = "reconstruction"', 'output = "image"', "output: Invalid enum value 'image'"),
        ('output = "reconstruction"', 'colour = "blue"', "unknown field `colour`"),
        ('sha256 = "', 'sha256 = "x', "sha256: Expected `str` matching regex"),
        ('name = "small"', "name = small", "not valid TOML"),
        ('file = "small.tflite"', 'file = "gone.tflite"', "No such file or directory; it is the file named in"),
        ('name = "hour"', 'name = "minute"', "['value', 'delta', 'minute'], configured are ['value', 'delta', 'hour']"),
        ('output = "reconstruction"', 'output = "score"', "its output has shape [1, 3], must be [rows, 1]"),
    ],
)
def test_a_wrong_manifest_is_one_line(folder: Path, old: str, new: str, says: str) -> None:
    edit(folder, old, new)
    assert says in refused(folder)


def test_a_missing_manifest_is_one_line(tmp_path: Path) -> None:
    assert "No such file or directory; give the path of a manifest.toml" in refused(tmp_path)
    (tmp_path / "manifest.toml").write_bytes(b"\xff\xfe\x00TFL3")
    assert "give the manifest.toml, not the model" in refused(tmp_path)


def test_features_in_another_order_are_one_line(folder: Path) -> None:
    said = refused(folder, names=("delta", "value", "hour"))
    assert "['value', 'delta', 'hour'], configured are ['delta', 'value', 'hour']" in said


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda whole: whole[:-1], "it is another model, or damaged"),
        (lambda whole: whole[:6], "not a TFLite model"),
        (lambda whole: b"", "not a TFLite model"),
        (lambda whole: b"PK\x03\x04" + whole[4:8].replace(b"T", b"X") + whole[8:], "not a TFLite model"),
    ],
    ids=["cut off", "hardly begun", "empty", "another kind of file"],
)
def test_a_wrong_file_is_one_line(folder: Path, content: Callable[[bytes], bytes], says: str) -> None:
    file = folder / "small.tflite"
    file.write_bytes(content(file.read_bytes()))
    assert says in refused(folder)


def set_input(**changes: Any) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        tensor = model.subgraphs[0].tensors[int(model.subgraphs[0].inputs[0])]
        for name, value in changes.items():
            setattr(tensor, name, value)

    return change


def drop_output(model: Any) -> None:
    model.subgraphs[0].outputs = []


def no_such_operator(model: Any) -> None:
    code = schema.BuiltinOperator.CUSTOM
    model.operatorCodes[0] = schema.OperatorCodeT(deprecatedBuiltinCode=code, builtinCode=code, customCode="Odd")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (set_input(type=schema.TensorType.INT32), "its input is int32, must be one of float32, int8, uint8"),
        (set_input(type=schema.TensorType.INT8), "its input is int8 without quantization"),
        (drop_output, "has 0 outputs, must have one"),
        (no_such_operator, "LiteRT cannot use it"),
    ],
)
def test_a_model_of_another_kind_is_one_line(tmp_path: Path, change: Callable[[Any], None], says: str) -> None:
    stored(tmp_path, altered(float32_model(shrinking(), ""), change))
    assert says in refused(tmp_path)


def test_a_model_for_other_features_is_one_line(tmp_path: Path) -> None:
    stored(tmp_path, float32_model(random_layers((4, 3)), ""))
    assert "its input has shape [1, 4], must be [rows, 3]: the manifest names 3 features" in refused(tmp_path)


def test_a_cut_off_model_whose_manifest_was_made_for_it_is_one_line(tmp_path: Path) -> None:
    stored(tmp_path, float32_model(shrinking(), "")[:-100])
    assert "LiteRT cannot use it" in refused(tmp_path)


def test_unknown_kernels_are_one_line(folder: Path) -> None:
    with pytest.raises(KindError, match='must be "exact" or "fast"'):
        build("models.tflite.TFLite", NAMES, {"manifest": small(), "kernels": "gpu"})


def test_a_broken_off_write_leaves_the_old_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / "small.tflite").read_bytes()

    def fail(path: Path, content: bytes) -> int:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="disk full"):
        manifests.write(read_manifest(folder / "manifest.toml"), b"other", folder / "manifest.toml")
    assert (folder / "small.tflite").read_bytes() == before


def test_a_manifest_error_is_an_error_of_a_kind() -> None:
    assert issubclass(ManifestError, KindError), "so that commands tell it in one line"
