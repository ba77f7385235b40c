"""What a backtest gives out: the CSV of verdicts, and tables for people."""

import csv
import math
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TextIO

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.backtest import BacktestResult, ColumnVerdicts
from flows.backtest_metrics import Metrics, stretches
from infra.simulate.files import ReplayError
from infra.simulate.recorded import Recorded
from operators.batches import Floats

_SHOWN_PROBLEMS = 5


def check_writable(path: Path, *, read: Path) -> None:
    """Found out before the work is done: `path` can be written and is not the file read. Raises ReplayError."""
    folder = path.absolute().parent
    if path.resolve() == read.resolve():
        raise ReplayError(f"{path}: is the file to be read; name another one")
    if path.is_dir():
        raise ReplayError(f"{path}: is a directory; name a file")
    if not folder.is_dir():
        raise ReplayError(f"{path}: there is no directory {folder}")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise ReplayError(f"{path}: cannot be written: no permission")


def write_csv(path: Path | None, recorded: Recorded, result: BacktestResult, *, details: bool) -> None:
    """One row per row of the file; to stdout without a path. Raises ReplayError.

    Columns: the time as it stands in the file, score (empty while unknown), is_anomaly (0 or 1); of several value
    columns score:COLUMN each; with details what was expected of each column, and the names of what flagged it.
    """
    columns: dict[str, Iterable[object]] = {
        recorded.plan.time: recorded.times,
        "score": _texts(result.score),
        "is_anomaly": result.is_anomaly.astype(np.int8).tolist(),
    }
    several = len(result.columns) > 1
    if several:
        columns |= {f"score:{name}": _texts(one.score) for name, one in result.columns.items()}
    if details:
        for name, one in result.columns.items():
            columns |= _details(one, f":{name}" if several else "")
    with _opened(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _details(column: ColumnVerdicts, suffix: str) -> dict[str, Iterable[object]]:
    return {
        f"expected{suffix}": _texts(column.expected),
        f"expected_low{suffix}": _texts(column.low),
        f"expected_high{suffix}": _texts(column.high),
        f"flagged_by{suffix}": column.flagged_by,
    }


def _texts(numbers: Floats) -> Iterator[str]:
    return ("" if math.isnan(number) else f"{number:.7g}" for number in numbers.tolist())


@contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        return
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise ReplayError(f"{path}: cannot be written: {error.strerror}") from None


def say(
    console: Console,
    recorded: Recorded,
    result: BacktestResult,
    metrics: Metrics | None,
    *,
    written: Iterable[Path | None],
) -> None:
    """A summary for people."""
    summary = recorded.summary
    span = ""
    if summary.first_ms is not None and summary.last_ms is not None:
        first, last = (_time(at, recorded) for at in (summary.first_ms, summary.last_ms))
        span = f", {first} to {last}"
    console.print(f"[bold]{escape(summary.path.name)}[/]: {len(recorded):,} rows{span}", soft_wrap=True)
    console.print(_verdicts(recorded, result))
    for problem in summary.problems[:_SHOWN_PROBLEMS]:
        console.print(f"[yellow]line {problem.line}[/] {escape(problem.reason)}", soft_wrap=True)
    if summary.refused > _SHOWN_PROBLEMS:
        console.print(f"[yellow]and {summary.refused - _SHOWN_PROBLEMS:,} more[/] that could not be understood")
    if not np.isfinite(result.score).any():
        console.print("[yellow]no row has a score[/]: detectors first learn from some rows; is the file too short?")
    if metrics is not None:
        console.print(_measures(metrics))
    for path in written:
        if path is not None and str(path) != "-":
            console.print(f"written: {escape(str(path))}", soft_wrap=True)


def _verdicts(recorded: Recorded, result: BacktestResult) -> Table:
    table = Table("column", header_style="bold", box=None, pad_edge=False)
    for heading in ("readings", "scored", "flagged", "in episodes", "largest score"):
        table.add_column(heading, justify="right")
    known = {name: np.isfinite(values) for name, values in recorded.values.items()}
    rows = [(escape(name), known[name], one.score, one.is_anomaly) for name, one in result.columns.items()]
    if len(rows) > 1:
        rows.append(("[bold]together[/]", np.any(list(known.values()), axis=0), result.score, result.is_anomaly))
    for name, there, score, flagged in rows:
        scored = score[np.isfinite(score)]
        largest = f"{scored.max():.2f}" if len(scored) else "-"
        counts = (np.count_nonzero(there), len(scored), np.count_nonzero(flagged), len(stretches(flagged)))
        table.add_row(name, *(f"{count:,}" for count in counts), largest)
    return table


def _measures(found: Metrics) -> Table:
    table = Table("against the labels", "", "", header_style="bold", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    counts = f"{found.true_positives:,} found, {found.false_negatives:,} missed, {found.false_positives:,} false"
    lines = [
        ("rows judged", f"{found.rows:,}", counts),
        ("precision", _share(found.precision), "of the flagged rows are labelled"),
        ("recall", _share(found.recall), "of the labelled rows are flagged"),
        ("F1", _share(found.f1), "harmonic mean of the two"),
        ("FAR", _share(found.far), "of the rows without a label are flagged"),
        ("MAR", _share(found.mar), "of the labelled rows are missed"),
        ("episodes found", f"{found.found} of {found.episodes}", "labelled stretches in which a row is flagged"),
        ("delay, median", _duration(found.delay_ms), "from an episode's begin to the first flagged row"),
        ("false alarm episodes", f"{found.false_episodes:,}", "flagged stretches without a labelled row"),
        ("  per 1000 rows", _number(found.false_episodes_per_1000_rows), ""),
        ("  per week", _number(found.false_episodes_per_week), "of event time"),
    ]
    for line in lines:
        table.add_row(*line)
    return table


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:,.2f}"


def _duration(ms: float) -> str:
    if math.isnan(ms):
        return "-"
    seconds = ms / 1000
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _time(time_ms: int, recorded: Recorded) -> str:
    return datetime.fromtimestamp(time_ms / 1000, recorded.plan.zone).strftime("%Y-%m-%d %H:%M:%S")
