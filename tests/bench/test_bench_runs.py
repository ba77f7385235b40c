"""The benchmark measures right results: every reading counted, and the same windows as Bytewax's own."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from infra.embedded.broker import Broker
from infra.kafka.client import Connection
from operators.batches import Rows
from tests.bench import __main__ as bench
from tests.bench import engine, fold_window, report
from tests.bench.load import Load
from tests.bench.measure import Input

WINDOWS = {window.name: window for window in engine.SETTINGS.windows}


def test_all_is_measured_and_shown_in_one_table() -> None:
    out = StringIO()
    assert bench.run(Load(messages=3_000, sensors=50), repeat=1, console=Console(file=out, width=200)), out.getvalue()
    lines = out.getvalue().splitlines()
    for title in report.TITLES.values():
        assert sum(line.startswith(f"  {title}  ") for line in lines) == 1, title
    assert sum("100.00%" in line for line in lines if line.startswith(("  streamgauge", "  + detectors"))) == 4
    assert any("of the floor" in line for line in lines)


def test_engine_and_fold_window_give_the_same_windows(tmp_path: Path) -> None:
    load = Load(messages=2_000, sensors=20)
    ours: list[dict[str, Any]] = []
    theirs: list[fold_window.Closed] = []

    def keep(rows: Rows) -> None:
        if rows.table == "windows":
            ours.extend(rows.to_dicts())

    with Broker(tmp_path / "broker") as broker:
        load.produce(Connection(bootstrap=broker.bootstrap), {"few": load.messages})
        for name in ("ours", "theirs"):
            (tmp_path / name).mkdir()
        engine.run_with(Input(broker.bootstrap, "few", load.messages, str(tmp_path / "ours")), keep)
        given = Input(broker.bootstrap, "few", load.messages, str(tmp_path / "theirs"))
        fold_window.run_with(given, theirs.append, wait_ms=3_600_000)

    expected = {
        (window, group, number * WINDOWS[window].hop_ms): (stats.count, stats.min, stats.max, stats.mean, stats.stddev)
        for window, group, number, stats in theirs
    }
    found = {
        (row["window"], "/".join(row[name] for name in sorted(WINDOWS[row["window"]].by)), row["start"]): (
            *(row[name] for name in ("count", "min", "max")),
            pytest.approx(row["mean"], rel=1e-9),
            pytest.approx(row["stddev"], rel=1e-9),
        )
        for row in ours
        if row["count"]
    }
    assert len(expected) == len(theirs)
    assert found == expected
