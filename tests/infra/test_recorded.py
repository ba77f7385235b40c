"""Whole files as columns, and ground truth beside them."""

import json
from datetime import UTC
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from infra.simulate.files import ReplayError
from infra.simulate.labels import LabelWindows, read_labels
from infra.simulate.mapping import ColumnMapping
from infra.simulate.recorded import NO_TIME, read

DAY_MS = 86_400_000
NEW_YEAR_MS = 1_767_225_600_000


def test_every_row_has_an_entry(tmp_path: Path) -> None:
    file = tmp_path / "pump.csv"
    file.write_text("time,a,b,anomaly\n2026-01-01,1,2,0\nnever,3,4,1\n2026-01-02,x,,\n2026-01-03,5\n2026-01-04,6,7,1\n")
    found = read(file, ColumnMapping())
    assert found.times == ["2026-01-01", "never", "2026-01-02", "", "2026-01-04"]
    wanted = [NEW_YEAR_MS, NO_TIME, NEW_YEAR_MS + DAY_MS, NO_TIME, NEW_YEAR_MS + 3 * DAY_MS]
    np.testing.assert_array_equal(found.time_ms, wanted)
    np.testing.assert_array_equal(found.values["a"], [1, 3, np.nan, np.nan, 6])
    np.testing.assert_array_equal(found.values["b"], [2, 4, np.nan, np.nan, 7])
    assert found.labels == ["normal", "anomaly", "", "", "anomaly"]
    summary = found.summary
    assert (summary.rows, summary.readings, summary.empty, summary.refused) == (5, 4, 1, 3)
    assert [problem.line for problem in summary.problems] == [3, 4, 5]


def test_series_may_change_from_row_to_row(tmp_path: Path) -> None:
    file = tmp_path / "long.csv"
    file.write_text("sensor_id,time,value\na,2026-01-01,1\nb,2026-01-01,2\na,2026-01-02,3\n")
    series = read(file, ColumnMapping()).series["value"]
    assert isinstance(series, list)
    assert [one.sensor_id for one in series] == ["a", "b", "a"]


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("time,value\n")
    with pytest.raises(ReplayError, match=r"empty\.csv: holds no rows"):
        read(tmp_path / "empty.csv", ColumnMapping())


PAIR = ["2026-01-01T00:00:00", "2026-01-02T00:00:00"]
WINDOW = (NEW_YEAR_MS, NEW_YEAR_MS + DAY_MS)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ([PAIR], LabelWindows((WINDOW,))),
        ({"windows": [PAIR]}, LabelWindows((WINDOW,))),
        ({"y/pump.csv": [PAIR], "x/fan.csv": []}, LabelWindows((WINDOW,))),
        ({"plant/pump.csv": [PAIR], "x/pump.csv": []}, LabelWindows((WINDOW,))),
        ({"x/pump.csv": {"windows": [PAIR], "probation_rows": 7}}, LabelWindows((WINDOW,), 7)),
        ({"x/pump.csv": {"rows": 10}}, LabelWindows(())),
    ],
)
def test_windows_in_json(tmp_path: Path, content: Any, wanted: LabelWindows) -> None:
    (tmp_path / "labels.json").write_text(json.dumps(content))
    data = tmp_path / "plant" / "pump.csv.gz"
    assert read_labels(tmp_path / "labels.json", data=data, zone=UTC) == wanted


def test_windows_in_rows_and_where_they_hold(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("kind,start,end\nleak,2026-01-01 01:00,2026-01-01 02:00\n")
    found = read_labels(tmp_path / "labels.csv", data=Path("pump.csv"), zone=ZoneInfo("Europe/Berlin"))
    hour_ms = 3_600_000
    assert found.windows == ((NEW_YEAR_MS, NEW_YEAR_MS + hour_ms),)
    times = NEW_YEAR_MS + np.array([-1, 0, hour_ms, hour_ms + 1, NO_TIME - NEW_YEAR_MS])
    np.testing.assert_array_equal(found.hold(times), [False, True, True, False, False])


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("l.json", "{", "cannot be read"),
        ("l.json", '{"fan.csv": []}', "no entry for pump.csv"),
        ("l.json", '{"a/pump.csv": [], "b/pump.csv": []}', "several entries"),
        ("l.json", '["2026-01-01"]', "pairs"),
        ("l.json", '[["2026-01-01", "soon"]]', "'soon' is not a time"),
        ("l.json", '{"windows": 5}', "pairs"),
        ("l.csv", "start,end\nsoon,2026-01-01\n", r"l\.csv:2: 'soon' is not a time"),
        ("l.csv", "start,end\n2026-01-02,2026-01-01\n", "ends before it begins"),
        ("l.csv", "begin,end\n2026-01-02,2026-01-03\n", "no column start"),
    ],
)
def test_labels_that_cannot_be_used(tmp_path: Path, name: str, content: str, says: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ReplayError, match=says):
        read_labels(tmp_path / name, data=tmp_path / "pump.csv", zone=UTC)
