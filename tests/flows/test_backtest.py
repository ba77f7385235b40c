"""Backtests: the flow's own verdicts, one per row, from the past alone."""

import csv
import io
import json
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from bytewax.testing import run_main
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from typer.testing import CliRunner

from flows import sensors
from flows.backtest import BacktestResult, run
from flows.cli import app
from flows.settings import Assets, Duration, EventTime, Settings
from operators.batches import Floats, Ints, Series
from operators.registry import Registry, TypeInfo
from tests.flows.commands import streamgauge
from tests.ports import MemoryTables, Message, list_ports

T0_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""
BAD_TIME = -1
ASSET = Settings(assets=Assets(tick=Duration(1000), warm_up=60))
"""A tick a second, as the rows are."""


@pytest.fixture(autouse=True)
def _default_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration file lies about."""
    monkeypatch.chdir(tmp_path)


def recorded(rows: int, *, seed: int = 1) -> tuple[Ints, dict[str, Floats]]:
    """Two sensors, a second apart, with a few spikes and every kind of trouble after row 60."""
    rng = np.random.default_rng(seed)
    time_ms = T0_MS + 1000 * np.arange(rows)
    columns = {"hall": rng.normal(20, 1, rows), "yard": rng.normal(5, 0.1, rows)}
    for name, row in product(columns, range(90, rows, 97)):
        columns[name][row] += 30
    for row in range(60, rows, 41):
        time_ms[row] = time_ms[row - 1]  # a conflict
    for row in range(70, rows, 43):
        time_ms[row] = time_ms[row - 3]  # a repeat
        columns["hall"][row] = columns["hall"][row - 3]
    for row in range(75, rows, 45):
        time_ms[row] -= 2500  # out of order
    for row in range(80, rows, 47):
        time_ms[row] -= 40_000  # late
    columns["yard"][85::53] = np.nan
    time_ms[66::59] = BAD_TIME
    return time_ms, columns


def both(result: BacktestResult) -> list[Floats]:
    return [one.score for one in result.columns.values()] + [result.score, result.is_anomaly.astype(float)]


def assert_same(one: BacktestResult, other: BacktestResult, *, rows: int | None = None) -> None:
    for mine, yours in zip(both(one), both(other), strict=True):
        np.testing.assert_array_equal(mine[:rows], yours[:rows])


def test_says_what_the_flow_says() -> None:
    time_ms, columns = recorded(400)
    messages = [
        Message(json.dumps({"sensor_id": name, "value": values[row], "timestamp": at}).encode(), T0_MS + 10**9)
        for row, at in enumerate(time_ms.tolist())
        for name, values in columns.items()
        if at != BAD_TIME and np.isfinite(values[row])
    ]
    tables = MemoryTables()
    one_shard = Settings(event_time=EventTime(shards_per_partition=1))
    run_main(sensors.build(one_shard, list_ports({"t/0": messages}, tables)))
    stored = sorted(tables.final("readings"), key=lambda row: row["offset"])
    assert {row["quality"] for row in stored} == {"ok", "conflict", "out_of_order", "late"}
    said = {(row["sensor_id"], row["time"], row["value"]): row for row in stored}
    result = run(Settings(), time_ms, columns, series={name: Series(name) for name in columns})
    compared = 0
    for name, one in result.columns.items():
        for row, at in enumerate(time_ms.tolist()):
            if (wanted := said.get((name, at, columns[name][row]))) is None:
                assert np.isnan(one.score[row])
            else:
                np.testing.assert_equal(one.score[row], wanted["score"])
                assert one.is_anomaly[row] == wanted["is_anomaly"]
                assert one.flagged_by[row] == ", ".join(wanted["flagged_by"])
                compared += 1
    assert compared >= len(stored) > 600
    assert result.is_anomaly.any()


@pytest.mark.parametrize("size", [1, 7, 100])
def test_the_batch_size_does_not_matter(size: int) -> None:
    time_ms, columns = recorded(300)
    assert_same(run(Settings(), time_ms, columns, batch_readings=size), run(Settings(), time_ms, columns))


@limits(max_examples=15)
@given(data=st.data())
def test_later_rows_change_nothing(data: Any) -> None:
    """A file cut short gives the same verdicts, whatever follows in the longer one."""
    time_ms, columns = recorded(200, seed=data.draw(st.integers(0, 3)))
    rows = data.draw(st.integers(1, 199))
    asset = data.draw(st.sampled_from(["", "plant"]))
    whole = run(ASSET, time_ms, columns, asset=asset)
    cut = run(ASSET, time_ms[:rows], {name: values[:rows] for name, values in columns.items()}, asset=asset)
    assert_same(cut, whole, rows=rows)


def test_rows_without_a_reading_have_no_score_and_repeats_have_their_twins() -> None:
    time_ms = T0_MS + 1000 * np.arange(320)
    value = np.random.default_rng(2).normal(0, 1, 320)
    value[300] = 40.0
    time_ms[303], value[303] = time_ms[300], 40.0  # the spike again
    time_ms[304], value[304] = time_ms[300], 0.0  # and with another value
    time_ms[306] = BAD_TIME
    value[307] = np.nan
    result = run(Settings(), time_ms, {"a": value})
    assert result.score.shape == (320,)
    assert np.isnan(result.score[:5]).all()
    assert np.isnan(result.score[[306, 307]]).all()
    assert np.isfinite(result.score[[299, 300, 303, 305, 308]]).all()
    assert result.score[303] == result.score[300] > 1
    assert result.is_anomaly[[300, 303]].all()
    assert not result.is_anomaly[[304, 306, 307]].any()


def test_several_columns_are_judged_together() -> None:
    time_ms, columns = recorded(300)
    result = run(Settings(), time_ms, columns)
    alone = {name: run(Settings(), time_ms, {name: values}) for name, values in columns.items()}
    for name, one in alone.items():
        np.testing.assert_array_equal(result.columns[name].score, one.score)
    np.testing.assert_array_equal(result.score, np.fmax(*(one.score for one in alone.values())))
    np.testing.assert_array_equal(result.is_anomaly, np.any([one.is_anomaly for one in alone.values()], axis=0))


def leaning(rows: int) -> tuple[Ints, dict[str, Floats]]:
    """Three sensors, a row a second; from row 300 on all of them are a little off."""
    rng = np.random.default_rng(4)
    columns = {name: rng.normal(20, 1, rows) for name in ("inlet", "outlet", "pump")}
    for values in columns.values():
        values[300:] += 1.5
    return T0_MS + 1000 * np.arange(rows), columns


def test_an_asset_is_judged_as_in_the_flow() -> None:
    time_ms, columns = leaning(400)
    messages = [
        Message(json.dumps({"sensor_id": name, "value": value, "timestamp": at, "asset_id": "x"}).encode(), T0_MS * 2)
        for at, *values in zip(time_ms.tolist(), *columns.values(), strict=True)
        for name, value in zip(columns, values, strict=True)
    ]
    tables = MemoryTables()
    run_main(sensors.build(ASSET, list_ports({"t/0": messages}, tables, close_at_end=True)))
    said = {row["time"]: row for row in tables.final("asset_verdicts")}
    assert len(said) > 300
    result = run(ASSET, time_ms, columns, asset="x")
    assert result.asset is not None
    for row, at in enumerate(time_ms.tolist()):
        if at in said:
            assert result.asset.score[row] == pytest.approx(said[at]["score"], rel=1e-9)
            assert result.asset.is_anomaly[row] == said[at]["is_anomaly"]
        else:
            assert np.isnan(result.asset.score[row])
    assert result.asset.is_anomaly[320:].all()
    assert not result.asset.is_anomaly[:300].any()


def test_with_an_asset_its_score_and_alarm_count() -> None:
    time_ms, columns = leaning(400)
    result, apart = run(ASSET, time_ms, columns, asset="x"), run(ASSET, time_ms, columns)
    assert result.asset is not None
    assert apart.asset is None
    known = np.isfinite(result.asset.score)
    np.testing.assert_array_equal(result.score, np.where(known, result.asset.score, apart.score))
    assert known.any()
    assert not known.all()
    np.testing.assert_array_equal(result.is_anomaly, np.where(known, result.asset.is_anomaly, apart.is_anomaly))
    assert run(ASSET, time_ms, {"inlet": columns["inlet"]}, asset="x").asset is None, "one sensor is no asset"


def test_a_column_out_of_range_is_flagged_whatever_its_asset_says() -> None:
    time_ms, columns = leaning(250)
    series = {name: Series(name, "temperature", unit="°C") for name in columns}
    known = Registry(types={"temperature": TypeInfo("°C", -40, 22.5)})
    result = run(ASSET, time_ms, columns, series=series, asset="x", registry=known)
    above = np.max(list(columns.values()), axis=0) > 22.5
    assert result.asset is not None
    judged = np.isfinite(result.asset.score)
    assert 0 < np.count_nonzero(above[judged]) < 20
    np.testing.assert_array_equal(result.is_anomaly[judged], (result.asset.is_anomaly | above)[judged])
    assert not result.asset.is_anomaly[above].all()
    assert "range" in result.columns["pump"].flagged_by[int(np.argmax(columns["pump"]))]


def test_rows_without_readings_keep_the_assets_verdict() -> None:
    time_ms, columns = leaning(400)
    time_ms[350] = BAD_TIME
    time_ms[360], time_ms[361] = time_ms[300], time_ms[359]
    for values in columns.values():
        values[355] = np.nan
        values[361] = values[359]
    result = run(ASSET, time_ms, columns, asset="x").asset
    assert result is not None
    for row, same in ((350, 349), (355, 354), (360, 359), (361, 359)):
        assert (result.score[row], result.is_anomaly[row]) == (result.score[same], True)


def test_a_column_may_hold_many_sensors() -> None:
    time_ms, columns = recorded(200)
    names = ["hall", "yard"]
    mixed = np.column_stack([columns[name] for name in names]).reshape(-1)
    series = [Series(name) for _ in range(200) for name in names]
    result = run(Settings(), np.repeat(time_ms, 2), {"value": mixed}, series={"value": series})
    apart = run(Settings(), time_ms, columns)
    for place, name in enumerate(names):
        np.testing.assert_array_equal(result.score[place::2], apart.columns[name].score)


def write(path: Path, rows: int = 300, *, header: str = "when,a,b,fault") -> Path:
    """A file with a spike in both columns at row 280, and a fault that begins a row before it."""
    rng = np.random.default_rng(3)
    lines = [header]
    for row in range(rows):
        spike = 50 if row == 280 else 0
        a, b = rng.normal(0, 1) + spike, rng.normal(9, 1) + spike
        lines.append(f"2026-01-01 {row // 60:02}:{row % 60:02}:00,{a:.4f},{b:.4f},{int(279 <= row < 290)}")
    path.write_text("\n".join(lines) + "\n")
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def invoke(*arguments: str | Path) -> str:
    shown = CliRunner().invoke(app, ["backtest", *map(str, arguments)], catch_exceptions=False)
    assert shown.exit_code == 0, shown.stderr
    return shown.stdout


def test_one_row_out_per_row_in(tmp_path: Path) -> None:
    file, out = write(tmp_path / "in.csv"), tmp_path / "out.csv"
    with file.open("a") as more:
        more.write("yesterday,1,2,0\n2026-01-01 05:00:00,,,\n2026-01-01 05:01:00,1\n")
    invoke(file, "--time-column", "when", "--value-column", "a", "--out", out)
    rows = rows_of(out)
    assert list(rows[0]) == ["when", "score", "is_anomaly"]
    times = [line.split(",")[0] for line in file.read_text().splitlines()[1:-1]]
    assert [row["when"] for row in rows] == [*times, ""]  # the last one has too few cells to be read
    assert {row["is_anomaly"] for row in rows} == {"0", "1"}
    assert rows[280]["is_anomaly"] == "1"
    assert float(rows[280]["score"]) > 1
    assert [row["score"] for row in (rows[0], *rows[-3:])] == [""] * 4


def test_several_columns_have_a_score_each(tmp_path: Path) -> None:
    file, out = write(tmp_path / "in.csv"), tmp_path / "out.csv"
    invoke(file, "--value-columns", "a, b", "--asset", "pump", "--details", "--out", out)
    row = rows_of(out)[280]
    assert list(row)[:5] == ["when", "score", "is_anomaly", "score:a", "score:b"]
    assert {"expected:a", "expected_low:b", "expected_high:b", "flagged_by:a"} < row.keys()
    assert "z-score" in row["flagged_by:b"]
    assert float(row["score"]) == max(float(row["score:a"]), float(row["score:b"])), "the asset is not known yet"


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv.gz"])
def test_other_formats_give_the_same(tmp_path: Path, kind: str) -> None:
    plain, other = write(tmp_path / "in.csv"), tmp_path / f"in.{kind}"
    rows = rows_of(plain)
    moments = [datetime.fromisoformat(row["when"]).replace(tzinfo=UTC) for row in rows]
    values = [float(row["a"]) for row in rows]
    if kind == "jsonl":
        made = [{"when": at.isoformat(), "a": value} for at, value in zip(moments, values, strict=True)]
        other.write_text("\n".join(map(json.dumps, made)))
    elif kind == "parquet":
        pyarrow.parquet.write_table(pa.table({"when": moments, "a": values}), other)
    else:
        import gzip

        other.write_bytes(gzip.compress(plain.read_bytes()))
    said = []
    for file in (plain, other):
        out = tmp_path / "out.csv"
        invoke(file, "--value-column", "a", "--out", out)
        said.append([(row["score"], row["is_anomaly"]) for row in rows_of(out)])
    assert said[0] == said[1]


def test_stdout_holds_nothing_but_rows(tmp_path: Path) -> None:
    done = streamgauge("backtest", write(tmp_path / "in.csv"), "--value-columns", "a", "--out", "-")
    assert done.returncode == 0, done.stderr
    assert len(list(csv.DictReader(io.StringIO(done.stdout)))) == 300
    assert "300 rows" in done.stderr


def test_labels_from_a_column_a_list_of_windows_or_nab(tmp_path: Path) -> None:
    file = write(tmp_path / "in.csv")
    window = ["2026-01-01 04:39:00", "2026-01-01 04:49:00"]
    (tmp_path / "windows.csv").write_text(f"start,end\n{','.join(window)}\n")
    (tmp_path / "nab.json").write_text(json.dumps({"x/other.csv": [], "x/in.csv": {"windows": [window]}}))
    (tmp_path / "list.json").write_text(json.dumps([window]))
    files = [tmp_path / name for name in ("windows.csv", "nab.json", "list.json")]
    for labels in ("fault", *map(str, files)):
        shown = invoke(file, "--value-columns", "a,b", "--labels", labels)
        told = {line.split("  ")[0]: line.split() for line in shown.splitlines()}
        assert "1 of 1" in " ".join(told["episodes found"]), labels
        assert told["delay, median"][2:4] == ["1.0", "m"], labels


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    picture = tmp_path / "out.png"
    invoke(write(tmp_path / "in.csv"), "--value-columns", "a,b", "--labels", "fault", "--plot", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none.csv"], "none.csv: no such file"),
        (["in.csv", "--value-columns", "a,x"], "'x': no such column; there are 'when', 'a', 'b', 'fault'"),
        (["in.csv", "--time-column", "x"], "'x': no such column; there are"),
        (["in.csv", "--out", "no/such/out.csv"], "no/such/out.csv: there is no directory"),
        (["in.csv", "--out", "./in.csv"], "in.csv: is the file to be read"),
        (["in.csv", "--plot", "."], "is a directory"),
        (["in.csv", "--plot", "out.doc"], "out.doc: cannot be written"),
        (["in.csv", "--labels", "none.json"], "none.json: no such file with labels"),
        (["in.csv", "--labels", "truth"], "'truth': no such column"),
        (["in.csv", "--labels", "windows.json"], "no entry for in.csv"),
        (["in.csv", "--labels", "backwards.csv"], "ends before it begins"),
        (["in.csv", "--labels", "in.csv"], "no column end and start"),
        (["empty.csv"], "empty.csv: holds no rows"),
        (["in.csv", "--zone", "Mars/Base"], "no such time zone"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, arguments: list[str], says: str) -> None:
    write(tmp_path / "in.csv", 30)
    (tmp_path / "empty.csv").write_text("time,value\n")
    (tmp_path / "windows.json").write_text('{"other.csv": []}')
    (tmp_path / "backwards.csv").write_text("start,end\n2026-01-02,2026-01-01\n")
    from flows.commands.common import is_peoples_error

    error = CliRunner().invoke(app, ["backtest", *arguments]).exception
    assert error is not None
    assert is_peoples_error(error)
    assert says in str(error)
    assert "\n" not in str(error)


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    file = write(tmp_path / "in.csv")
    error = CliRunner().invoke(app, ["backtest", str(file), "--plot", str(tmp_path / "out.png")]).exception
    assert "pip install 'streamgauge[plot]'" in str(error)
