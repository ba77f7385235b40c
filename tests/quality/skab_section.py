"""SKAB: the verdicts on assets, beside those of single sensors and of both together."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from flows import backtest
from flows.production import registry
from flows.settings import Duration, Settings
from tests.quality import skab
from tests.quality.report import Section, Table, Target, number
from tests.quality.runs import Advance, Flags
from tests.quality.skab import Figures, File

QUICK_FILES = 4
F1, FAR, MAR = 0.80, 15.0, 25.0

_ROW = Duration(1000)


def load(*, quick: bool) -> list[File]:
    """The files, or a few of them from all over. Raises NoDataError."""
    files = skab.load()
    return files[:: len(files) // QUICK_FILES + 1] if quick else files


def section(settings: Settings, files: Sequence[File], advance: Advance) -> Section:
    """Everything about these files."""
    settings = msgspec.structs.replace(settings, assets=msgspec.structs.replace(settings.assets, tick=_ROW))
    asset = skab.run(files, settings.assets)
    any_sensor: dict[str, Flags] = {}
    both: dict[str, Flags] = {}
    for file in files:
        result = _backtest(settings, file)
        any_sensor[file.name] = np.any([one.is_anomaly for one in result.columns.values()], axis=0)
        both[file.name] = result.is_anomaly
        advance(len(file.values))
    figures = skab.score(asset, files)
    always = {file.name: np.ones(len(file.values), np.bool_) for file in files}
    rows = [
        _row("verdict on the asset", figures),
        *(_row(f"  {group}", one) for group, one in skab.by_group(asset, files).items()),
        _row("backtest --asset", skab.score(both, files)),
        _row("any sensor flagged", skab.score(any_sensor, files)),
        _row("always anomalous", skab.score(always, files)),
    ]
    labelled = sum(file.anomaly is not None for file in files)
    return Section(
        (
            Table(
                f"SKAB: {labelled} files, rows from {skab.WARM_UP_ROWS} on", ("", "F1", "FAR %", "MAR %"), tuple(rows)
            ),
        ),
        (
            Target("SKAB F1", figures.f1, F1, style=".3f"),
            Target("SKAB false alarms", figures.far, FAR, at_most=True, style=".1f", unit=" %"),
            Target("SKAB missed", figures.mar, MAR, at_most=True, style=".1f", unit=" %"),
        ),
        (
            "FAR: false alarms among normal rows; MAR: missed among anomalous ones. A tick is a row's second. "
            f"{_fault_free(asset, files)}",
        ),
    )


def _backtest(settings: Settings, file: File) -> backtest.BacktestResult:
    columns = {sensor: file.values[:, place] for place, sensor in enumerate(file.sensors)}
    return backtest.run(settings, file.time_ms, columns, asset=file.name, registry=registry(settings, {}))


def _row(title: str, figures: Figures) -> tuple[str, ...]:
    return title, number(figures.f1, ".3f"), number(figures.far), number(figures.mar)


def _fault_free(predictions: Mapping[str, Flags], files: Sequence[File]) -> str:
    """What is said of runs without any fault."""
    rows = [predictions[file.name][skab.WARM_UP_ROWS :] for file in files if file.anomaly is None]
    return f"Of the run without any fault {100 * np.concatenate(rows).mean():.1f} % is flagged." if rows else ""
