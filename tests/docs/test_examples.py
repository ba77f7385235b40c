"""The examples in docs/ do what they say."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from models.catalog import build
from models.detector import Batch
from tests.flows.commands import streamgauge

EXAMPLES = Path(__file__).parent.parent.parent / "docs" / "examples"


def test_a_detector_of_ones_own_lies_beside_the_configuration(tmp_path: Path) -> None:
    source = (EXAMPLES / "own_detector.py").read_text(encoding="utf-8")
    (tmp_path / "own_detector.py").write_text(source, encoding="utf-8")
    config = tmp_path / "streamgauge.toml"
    config.write_text(source[source.index("[[detectors]]") : source.index('"""', 3)], encoding="utf-8")
    shown = streamgauge("--config", config, "explain")
    assert re.search(r"^median +model +own_detector.FromMedian", shown.stdout, re.MULTILINE), shown.stderr
    checked = streamgauge("--config", config, "check")
    assert "ok    detectors: median" in checked.stdout


def test_a_detector_of_ones_own_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    table = tomllib.loads((EXAMPLES / "own_detector.py").read_text(encoding="utf-8").split('"""')[1].split("\n", 1)[1])
    configured = table["detectors"][0]
    detector = build(configured["kind"], tuple(configured["features"]), configured["params"])
    detector.grow(2)
    slots, nothing = np.arange(2), np.empty((2, 0))
    for row in range(20):
        values = np.array([20.0 + row % 3, 5.0])
        batch = Batch(slots, np.full(2, row * 1000), values, nothing, np.zeros(2, np.int64), 2 * row + slots)
        scores = detector.score(batch)
        assert np.isnan(scores).all() == (row < 15)
        detector.learn(batch)
    far = Batch(slots, np.zeros(2, np.int64), np.array([50.0, 5.0]), nothing, np.zeros(2, np.int64), slots)
    assert detector.score(far)[0] > 20
    assert detector.score(far)[1] == 0
    again = build(configured["kind"], (), configured["params"])
    again.load(detector.state())
    np.testing.assert_array_equal(again.score(far), detector.score(far))
