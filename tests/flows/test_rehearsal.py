"""The rehearsal: mistakes are told at start, nothing is compiled later, nothing heavy is imported."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from numba.core.registry import CPUDispatcher

from flows.rehearsal import rehearse
from flows.settings import Detector, Settings
from models.importing import KindError
from tests.flows.commands import ROOT, streamgauge
from tests.operators.engine import Engine

NOT_BY_DEFAULT = {"river", "sklearn", "pandas", "matplotlib", "tensorflow"}
WITH_THE_FIRST_FOREST = {"_laid_out", "_mean_path"}
"""A forest is fitted after minutes."""


def kernels() -> Iterator[CPUDispatcher]:
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in ("operators", "models"):
            yield from (one for one in vars(module).values() if isinstance(one, CPUDispatcher))


def test_a_worker_with_the_default_detectors_imports_nothing_heavy() -> None:
    code = (
        "import sys; from flows.commands.run import rehearse; from flows.settings import Settings;"
        "rehearse(Settings()); print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not NOT_BY_DEFAULT & set(run.stdout.split())


def test_no_kernel_is_compiled_after_it() -> None:
    code = "from tests.flows.test_rehearsal import compiled_later; print(*compiled_later())"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) <= WITH_THE_FIRST_FOREST


def compiled_later() -> list[str]:
    """Kernels that a stream compiles or loads although there was a rehearsal."""
    rehearse(Settings())
    known = {kernel: len(kernel.signatures) for kernel in kernels()}
    engine = Engine(windows=Settings().windows, detectors=Settings().detectors)
    for at in range(0, 600, 60):
        engine.feed("t/0", *((f"s{k}", at + second, float(k + second)) for second in range(60) for k in range(2)))
    engine.restart()
    engine.feed("t/0", ("s1", 590, 1.0), ("s2", 700, 2.0), ("s2", 700, 3.0), ("s2", 700, 3.0))
    assert engine.tables.final("windows")
    return [str(kernel.py_func.__name__) for kernel in kernels() if len(kernel.signatures) != known.get(kernel)]


def test_a_detector_that_cannot_be_built_is_told() -> None:
    wrong = Detector(name="mine", kind="models.deviation.Deviation", params={"long": 0})
    with pytest.raises(KindError, match="detector mine"):
        rehearse(Settings(detectors=(wrong,)))


def test_features_of_another_kind_than_a_model_was_made_for_are_told() -> None:
    names = ("value", "delta", "std", "flatness")
    wrong = Detector(name="mine", kind="models.tflite.TFLite", features=names, scaled=False)
    with pytest.raises(KindError, match=r"detector mine: its model takes features scaled .* set scaled = true"):
        rehearse(Settings(detectors=(wrong,)))


def test_run_tells_it_before_it_looks_for_kafka(tmp_path: Path) -> None:
    config = tmp_path / "streamgauge.toml"
    config.write_text('[[detectors]]\nname = "mine"\nkind = "models.tflite.TFLite"\nparams = {manifest = "no.toml"}\n')
    run = streamgauge("--config", config, "run", "sensors", env={"STREAMGAUGE_DATA_DIR": str(tmp_path)})
    assert run.returncode == 1
    assert "detector mine" in run.stderr
    assert "no.toml" in run.stderr
