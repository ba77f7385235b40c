"""What a picture of many rows keeps."""

from pathlib import Path

import numpy as np
import pytest

from infra.plot import MAX_PANELS, Panel, Picture, PlotError, draw, thinned
from operators.batches import Floats, Ints


def lone_panel(name: str, value: Floats) -> Panel:
    unknown = np.full(len(value), np.nan)
    return Panel(name, value, value > 5, value - 1, unknown, unknown)


def test_thinning_keeps_every_spike() -> None:
    value = np.random.default_rng(1).normal(0, 1, 200_000)
    spikes = np.arange(1000, 200_000, 9973)
    value[spikes] = np.where(np.arange(len(spikes)) % 2, 50, -50) + np.arange(len(spikes))
    time_ms = 1000 * np.arange(200_000)
    at, drawn = thinned(time_ms, value)
    assert len(drawn) < 4000
    assert set(value[spikes]) <= set(drawn)
    assert (np.diff(at) > 0).all()
    np.testing.assert_array_equal(drawn, value[at // 1000])


def test_few_points_stay_and_a_gap_breaks_the_line() -> None:
    time_ms: Ints = np.array([0, 1000, 2000, 3000, 90_000, 91_000])
    at, drawn = thinned(time_ms, np.arange(6.0))
    np.testing.assert_array_equal(at, [0, 1000, 2000, 3000, 89_999, 90_000, 91_000])
    np.testing.assert_array_equal(drawn, [0, 1, 2, 3, np.nan, 4, 5])
    unbroken, _ = thinned(time_ms, np.arange(6.0), broken=False)
    np.testing.assert_array_equal(unbroken, time_ms)


@pytest.mark.parametrize(("rows", "columns"), [(0, 1), (1, 1), (2, 2), (5000, MAX_PANELS + 2)])
def test_pictures_of_any_size(tmp_path: Path, rows: int, columns: int) -> None:
    from datetime import UTC

    value = np.sin(np.arange(rows) / 50)
    value[3::100] = 9
    unknown = np.full(rows, np.nan)
    picture = Picture(
        title="t",
        subtitle="s",
        time_ms=60_000 * np.arange(rows),
        zone=UTC,
        panels=[lone_panel(f"c{number}", value + number) for number in range(columns)],
        score=unknown if rows < 3 else np.abs(value),
        threshold=1.0 if columns > 1 else None,
        is_anomaly=value > 5,
        truth=None if rows < 2 else value > 0.9,
    )
    draw(picture, tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(PlotError, match=r"out\.doc: cannot be written"):
        draw(picture, tmp_path / "out.doc")
