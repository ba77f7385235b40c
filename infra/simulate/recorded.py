"""A recorded file whole, as columns: one entry per row, in the file's order, also for rows that hold nothing usable."""

from array import array
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infra.simulate import cells
from infra.simulate.cells import Cell
from infra.simulate.files import ReplayError, Row, rows
from infra.simulate.mapping import ColumnMapping, Plan, plans
from infra.simulate.replay import FileSummary
from operators.batches import Floats, Ints, Series

NO_TIME = int(np.iinfo(np.int64).min)
"""Stands for the time of a row that has none."""

_PROGRESS_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Recorded:
    """All rows of one file; every column has one entry per row.

    plan: which columns were taken for what.
    times: the time column's cells as text, as they stand in the file; "" where a row cannot be read at all.
    time_ms: the same as epoch milliseconds; NO_TIME where that is no time.
    values: of each value column; NaN where there is no number.
    series: of each value column, one for all rows or one per row.
    labels: ground truth per row, "" where it is not said; None without a label column.
    summary: what was counted, and the first problems.
    """

    plan: Plan
    times: list[str]
    time_ms: Ints
    values: dict[str, Floats]
    series: dict[str, Series | list[Series]]
    labels: list[str] | None
    summary: FileSummary

    def __len__(self) -> int:
        return len(self.times)


def read(path: Path, mapping: ColumnMapping, *, on_progress: Callable[[int], None] | None = None) -> Recorded:
    """Read a file. on_progress: told now and then how many rows there are so far.

    Raises ReplayError: unreadable, no such column, no rows.
    """
    (plan,) = plans([path], mapping)
    if plan is None:
        raise ReplayError(f"{path}: holds no rows")
    reading = _Reading(plan)
    with closing(rows(path)) as reader:
        for number, row in enumerate(reader, 1):
            if isinstance(row, Row):
                reading.take(row)
            else:
                reading.summary.refuse(row.line, row.reason)
                reading.take(Row(row.line, {}), readable=False)
            if on_progress is not None and number % _PROGRESS_ROWS == 0:
                on_progress(number)
    return reading.whole()


class _Reading:
    """Collects rows."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.summary = FileSummary(plan.path)
        self._times: list[str] = []
        self._time_ms = array("q")
        self._values = {column: array("d") for column, _ in plan.values}
        self._series: dict[str, list[Series]] = {column: [] for column, _ in plan.values}
        self._labels: list[str] = []

    def take(self, row: Row, *, readable: bool = True) -> None:
        plan, summary = self._plan, self.summary
        summary.rows += 1
        cell = row.cells.get(plan.time)
        self._times.append("" if cell is None else str(cell))
        time_ms = self._time(cell, row.line) if readable else NO_TIME
        self._time_ms.append(time_ms)
        readings = 0
        for column, constant in plan.values:
            value = self._value(column, row.cells.get(column), row.line) if readable else np.nan
            self._values[column].append(value)
            readings += value == value and time_ms != NO_TIME
            if plan.texts:
                self._series[column].append(plan.series(column, constant, row))
        if readings:
            summary.sent(readings, time_ms)
        if plan.label:
            self._labels.append(cells.ground_truth(row.cells.get(plan.label)))

    def _time(self, cell: Cell, line: int) -> int:
        try:
            return cells.epoch_ms(cell, self._plan.zone)
        except ValueError as error:
            self.summary.refuse(line, f"{self._plan.time}: {error}")
            return NO_TIME

    def _value(self, column: str, cell: Cell, line: int) -> float:
        if cells.is_empty(cell):
            self.summary.empty += 1
            return np.nan
        try:
            return cells.number(cell)
        except ValueError as error:
            self.summary.refuse(line, f"{column}: {error}")
            return np.nan

    def whole(self) -> Recorded:
        plan = self._plan
        return Recorded(
            plan=plan,
            times=self._times,
            time_ms=np.array(self._time_ms, np.int64),
            values={column: np.array(values, np.float64) for column, values in self._values.items()},
            series={column: self._series[column] if plan.texts else constant for column, constant in plan.values},
            labels=self._labels if plan.label else None,
            summary=self.summary,
        )
