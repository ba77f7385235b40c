"""`streamgauge backtest`: a recorded file through the flow's operators, verdict by verdict."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from flows.backtest import BacktestResult, run
from flows.backtest_metrics import Metrics, measure
from flows.backtest_report import check_writable, say, write_csv
from flows.commands.common import Invocation
from flows.production import registry
from flows.settings import Settings
from infra import plot
from infra.registry import read_file
from infra.simulate.files import ReplayError
from infra.simulate.labels import read_labels
from infra.simulate.mapping import ColumnMapping
from infra.simulate.recorded import NO_TIME, Recorded, read
from operators.batches import Flags
from operators.registry import Registry

_LABEL_FILES = (".json", ".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".parquet", ".pq", ".gz")


def backtest(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV, JSONL or Parquet, also .gz.")],
    out: Annotated[Path | None, typer.Option(help="CSV to write, one row per row of the file; - is stdout.")] = None,
    time_column: Annotated[str, typer.Option(help="Column of event times.", show_default="the first with times")] = "",
    value_column: Annotated[
        list[str] | None, typer.Option(help="A sensor each; may be repeated.", show_default="all columns of numbers")
    ] = None,
    value_columns: Annotated[str, typer.Option(help='The same in one: "a,b,c".')] = "",
    asset: Annotated[str, typer.Option(help="What the columns belong to: judges them together.")] = "",
    sensor_type: Annotated[str, typer.Option(help='A text, or "@COLUMN".', show_default="column or file name")] = "",
    location: Annotated[str, typer.Option(help='A text, or "@COLUMN".', show_default="folder name")] = "",
    zone: Annotated[str, typer.Option(help="Time zone of times that name none.")] = "UTC",
    details: Annotated[
        bool, typer.Option("--details", help="Also what was expected, and which detectors flagged, per column.")
    ] = False,
    labels: Annotated[
        str, typer.Option(help="Ground truth: a column (0 and 1), a CSV of start,end, or NAB's JSON. Shows metrics.")
    ] = "",
    picture: Annotated[Path | None, typer.Option("--plot", help="Picture to draw (.png, .svg, .pdf).")] = None,
) -> None:
    """Judge a recorded file as the flow would have: each row before it is learnt, nothing taken from later rows.

    OUT has the time column, `score` and `is_anomaly` for every row of the file, in its order; of several columns also
    one `score:COLUMN` each. A score says how strange a row is, as -log10 of the chance of such a one. A row without a
    usable time or value has none; a reading that repeats an earlier one has its verdict.

    Several columns: `is_anomaly` is 1 when any of them is flagged, `score` the largest of theirs. With --asset they are
    judged together, a row being a tick: as soon as enough of them are known both are the asset's own, and a column
    counts alone only when it is out of range.

    **Examples**

    `streamgauge backtest pump.csv.gz --out verdicts.csv --plot verdicts.png`

    `streamgauge backtest valve.csv --value-columns Pressure,Current --asset valve-1 --labels anomaly --out out.csv`
    """
    settings = _settings(context)
    to_stdout = out is not None and str(out) == "-"
    for path in (out, picture):
        if path is not None and not (to_stdout and path is out):
            check_writable(path, read=file)
    if picture is not None:
        plot.check_installed()
    column, label_file = _label_source(labels)
    named = [one.strip() for one in value_columns.split(",")]
    mapping = ColumnMapping(
        time_column=time_column,
        value_columns=tuple(dict.fromkeys((value_column or []) + [one for one in named if one])),
        sensor_type=sensor_type,
        location=location,
        asset_id=asset,
        label_column=column,
        zone=zone,
    )
    with _progress() as progress:
        recorded = read(file, mapping, on_progress=progress.reading)
        truth = _truth(recorded, column, label_file)
        progress.begin(len(recorded))
        result = run(
            settings,
            recorded.time_ms,
            recorded.values,
            series=recorded.series,
            asset=asset,
            registry=_registry(settings),
            on_progress=progress.judged,
        )
    metrics = None if truth is None else _measured(recorded, result, *truth)
    if out is not None:
        write_csv(None if to_stdout else out, recorded, result, details=details)
    if picture is not None:
        plot.draw(_picture(settings, recorded, result, None if truth is None else truth[0], metrics), picture)
    say(Console(stderr=to_stdout, highlight=False), recorded, result, metrics, written=(out, picture))


def _settings(context: typer.Context) -> Settings:
    invocation: Invocation = context.obj
    return invocation.given


def _registry(settings: Settings) -> Registry:
    """What the configuration and its registry file say; no database is asked."""
    return registry(settings, read_file(Path(settings.registry.file)) if settings.registry.file else {})


def _label_source(labels: str) -> tuple[str, Path | None]:
    """(column, file), one of them empty."""
    path = Path(labels)
    if labels and (path.is_file() or path.suffix.lower() in _LABEL_FILES):
        if not path.is_file():
            raise ReplayError(f"{labels}: no such file with labels")
        return "", path
    return labels, None


def _truth(recorded: Recorded, column: str, file: Path | None) -> tuple[Flags, int] | None:
    """Which rows are anomalous, and how many at the start are not to be judged; None when that is not said."""
    if file is not None:
        found = read_labels(file, data=recorded.plan.path, zone=recorded.plan.zone)
        return found.hold(recorded.time_ms), found.probation_rows
    if column and recorded.labels is not None:
        return np.array([label not in ("", "normal") for label in recorded.labels], np.bool_), 0
    return None


def _measured(recorded: Recorded, result: BacktestResult, truth: Flags, probation_rows: int) -> Metrics:
    """Of the rows that were judged."""
    judged = np.isfinite(result.score) | result.is_anomaly
    judged[:probation_rows] = False
    return measure(time_ms=recorded.time_ms[judged], labelled=truth[judged], flagged=result.is_anomaly[judged])


def _picture(
    settings: Settings, recorded: Recorded, result: BacktestResult, truth: Flags | None, metrics: Metrics | None
) -> plot.Picture:
    known = np.flatnonzero(recorded.time_ms != NO_TIME)
    order = known[np.argsort(recorded.time_ms[known], kind="stable")]
    flagged = int(np.count_nonzero(result.is_anomaly))
    said = [f"{len(recorded):,} rows", f"{flagged:,} flagged"]
    if metrics is not None:
        said += [f"F1 {metrics.f1:.2f}", f"{metrics.found} of {metrics.episodes} labelled episodes found"]
    return plot.Picture(
        title=recorded.plan.path.name,
        subtitle="   ·   ".join(said),
        time_ms=recorded.time_ms[order],
        zone=recorded.plan.zone,
        panels=[
            plot.Panel(
                name,
                recorded.values[name][order],
                one.is_anomaly[order],
                one.expected[order],
                one.low[order],
                one.high[order],
            )
            for name, one in result.columns.items()
        ],
        score=result.score[order],
        threshold=None if result.asset is None else settings.assets.threshold,
        is_anomaly=result.is_anomaly[order],
        truth=None if truth is None else truth[order],
    )


class _Shown:
    """Progress on a terminal: rows read, then judged of all."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("reading", total=None)

    def reading(self, rows: int) -> None:
        self._progress.update(self._task, description=f"{rows:,} rows read")

    def begin(self, rows: int) -> None:
        self._progress.update(self._task, description=f"judging {rows:,} rows", total=rows)

    def judged(self, rows: int) -> None:
        self._progress.update(self._task, completed=rows)


@contextmanager
def _progress() -> Iterator[_Shown]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield _Shown(progress)
