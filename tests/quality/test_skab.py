"""SKAB: its figures at fixed points, and the targets for the verdicts on assets where the data is."""

import numpy as np
import pytest

from tests.quality import skab
from tests.quality.skab import Figures, File


def file(name: str, *anomalous: int, rows: int = 410) -> File:
    """A file without values, anomalous in these rows."""
    return File(name, (), np.arange(rows) * 1000, np.empty((rows, 0)), np.isin(np.arange(rows), anomalous))


def test_figures_are_pooled_over_the_rows_after_warm_up() -> None:
    files = [file("a/1", 10, 400, 401, 402), file("a/2", 409), file("b/1")]
    said = {
        "a/1": np.isin(np.arange(410), [5, 401, 402, 403]),  # 2 hits, 1 missed, 1 false alarm of 7
        "a/2": np.isin(np.arange(410), [409]),  # 1 hit
        "b/1": np.isin(np.arange(410), [400]),  # 1 false alarm of 10
    }
    assert skab.score(said, files) == Figures(f1=2 * 3 / (2 * 3 + 2 + 1), far=100 * 2 / 26, mar=25.0)
    assert skab.by_group(said, files)["a"] == Figures(f1=2 * 3 / (2 * 3 + 1 + 1), far=100 / 16, mar=25.0)
    always = {one.name: np.ones(410, np.bool_) for one in files}
    assert skab.score(always, files) == Figures(f1=2 * 4 / (2 * 4 + 26), far=100.0, mar=0.0)
    with pytest.raises(ValueError, match="a/1: 3 verdicts on 410 rows"):
        skab.score({**said, "a/1": np.ones(3, np.bool_)}, files)


def test_targets_on_the_files_given() -> None:
    try:
        files = skab.load()
    except skab.NoDataError as error:
        pytest.skip(str(error))
    predictions = skab.run(files)
    figures = skab.score(predictions, files)
    assert figures.f1 >= 0.80
    assert figures.far <= 15
    assert figures.mar <= 25
    for file in files:
        if file.anomaly is None:
            assert predictions[file.name][skab.WARM_UP_ROWS :].mean() < 0.10
