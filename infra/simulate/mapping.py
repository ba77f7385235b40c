"""Which columns of a file are what: as told, else found out from the first rows."""

import re
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import partial
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from infra.simulate import cells
from infra.simulate.cells import Cell
from infra.simulate.files import ReplayError, Row, rows, stem
from operators.batches import Series

_SAMPLE_ROWS = 100
_LABEL_NAMES = ("label", "anomaly", "is_anomaly")
_NO_VALUES = {*_LABEL_NAMES, "changepoint", "seq", "", "__index_level_0__"}
_TIME_NAME = re.compile(r"time|date|epoch|(?<![a-z])ts(?![a-z])", re.IGNORECASE)
_PLAUSIBLE_MS = range(631_152_000_000, 4_102_444_800_000)
"""1990 to 2100: a number outside is taken for a time only when its column is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMapping:
    """What the user says of the files; "" is to be found out.

    time_column: with epoch numbers or ISO 8601 times; else the first column that holds times.
    value_columns: one sensor each; else all columns of numbers (only `value` when there is a column `sensor_id`).
    sensor_id, sensor_type, location, asset_id, unit: a text for all readings, or "@NAME" to take it from that column.
        Else the column of that name, else:
        sensor_id    the file's name, and the column's when a file has several value columns
        sensor_type  the value column's name, or the file's when that is just "value"
        location     the folder's name
    label_column: ground truth; else `label`, `anomaly` or `is_anomaly`.
    zone: IANA name, for times that say no zone.
    """

    time_column: str = ""
    value_columns: tuple[str, ...] = ()
    sensor_id: str = ""
    sensor_type: str = ""
    location: str = ""
    asset_id: str = ""
    unit: str = ""
    label_column: str = ""
    zone: str = "UTC"

    def tzinfo(self) -> tzinfo:
        """The zone. Raises ReplayError when there is none of that name."""
        if self.zone == "UTC":
            return UTC
        try:
            return ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ReplayError(
                f"zone {self.zone!r}: no such time zone; give an IANA name such as Europe/Berlin"
            ) from None


@dataclass(frozen=True, slots=True)
class Plan:
    """How one file becomes readings.

    values: the value columns, each with the series its readings get.
    texts: fields of Series that are taken from a column instead, row by row.
    several: whether a sensor id from a column still needs the value column's name behind it.
    named_after_file: whether sensor ids come from the file's name.
    ignored: columns that are not replayed.
    """

    path: Path
    time: str
    zone: tzinfo
    values: tuple[tuple[str, Series], ...]
    texts: tuple[tuple[str, str], ...]
    several: bool
    label: str
    named_after_file: bool
    ignored: tuple[str, ...]

    def series(self, column: str, constant: Series, row: Row) -> Series:
        """The series of a row's value in a value column."""
        if not self.texts:
            return constant
        taken = {field: cells.text(row.cells.get(source)) for field, source in self.texts}
        if self.several and taken.get("sensor_id"):
            taken["sensor_id"] = f"{taken['sensor_id']}.{column}"
        return constant._replace(**taken)


def plans(paths: Sequence[Path], mapping: ColumnMapping) -> list[Plan | None]:
    """One plan per file, None for a file without rows. Raises ReplayError."""
    zone = mapping.tzinfo()
    stems = [stem(path) for path in paths]
    made, named = [], set()
    for path in paths:
        name = stem(path)
        if stems.count(name) > 1:
            name = f"{path.absolute().parent.name}/{name}"
        sample = _sample(path)
        plan = _Columns(path, sample).plan(name, mapping, zone) if sample else None
        if plan is not None and plan.named_after_file and name in named:
            raise ReplayError(f"{path}: another file already gives its sensors the name {name!r}; say sensor_id")
        named.add(name)
        made.append(plan)
    return made


def _sample(path: Path) -> list[dict[str, Cell]]:
    with closing(rows(path)) as reader:
        first = list(islice(reader, _SAMPLE_ROWS))
    sample = [row.cells for row in first if isinstance(row, Row)]
    if first and not sample:
        bad = first[0]
        raise ReplayError(f"{path}: no row can be read; line {bad.line}: {getattr(bad, 'reason', '')}")
    return sample


class _Columns:
    """The columns of one file, with the cells of its first rows."""

    def __init__(self, path: Path, sample: list[dict[str, Cell]]) -> None:
        self._path = path
        names = list(dict.fromkeys(name for row in sample for name in row))
        self._cells = {name: [cell for row in sample if not cells.is_empty(cell := row.get(name))] for name in names}
        self._by_lower = {name.lower(): name for name in reversed(names)}

    def plan(self, name: str, mapping: ColumnMapping, zone: tzinfo) -> Plan:
        time = self._named(mapping.time_column, "time_column") or self._time_column(zone)
        label = self._named(mapping.label_column, "label_column") or self._first_of(_LABEL_NAMES)
        texts, constants = self._texts(mapping)
        values = [self._named(column, "value_columns") for column in mapping.value_columns]
        if not values:
            values = self._value_columns({time, label, *texts.values()}, long="sensor_id" in texts)
        several = len(values) > 1
        return Plan(
            path=self._path,
            time=time,
            zone=zone,
            values=tuple((column, self._series(column, name, constants, several=several)) for column in values),
            texts=tuple(texts.items()),
            several=several,
            label=label,
            named_after_file="sensor_id" not in texts | constants,
            ignored=tuple(name for name in self._cells if name not in {time, label, *texts.values(), *values}),
        )

    def _series(self, column: str, name: str, constants: dict[str, str], *, several: bool) -> Series:
        defaults = {
            "sensor_id": name,
            "sensor_type": name if column.lower() == "value" else column,
            "location": self._path.absolute().parent.name,
        }
        series = Series(**defaults | constants)
        return series._replace(sensor_id=f"{series.sensor_id}.{column}") if several else series

    def _named(self, column: str, what: str) -> str:
        if column and column not in self._cells:
            raise ReplayError(f"{self._path}: {what} = {column!r}: no such column; there are {self._shown()}")
        return column

    def _shown(self) -> str:
        return ", ".join(map(repr, self._cells))

    def _first_of(self, names: Sequence[str]) -> str:
        return next((self._by_lower[name] for name in names if name in self._by_lower), "")

    def _texts(self, mapping: ColumnMapping) -> tuple[dict[str, str], dict[str, str]]:
        """Fields of Series taken from columns, and those that are the same for all rows."""
        columns, constants = {}, {}
        for field in Series._fields:
            said = getattr(mapping, field)
            if said.startswith("@"):
                columns[field] = self._named(said[1:], field)
            elif said:
                constants[field] = said
            elif field in self._by_lower:
                columns[field] = self._by_lower[field]
        return columns, constants

    def _time_column(self, zone: tzinfo) -> str:
        for name, column in self._cells.items():
            # A number is taken for a time only under a fitting name, or any large measurement would be one.
            if _mostly(column, partial(_is_time, zone=zone, numbers=bool(_TIME_NAME.search(name)))):
                return name
        raise ReplayError(f"{self._path}: no column holds times; say time_column, one of {self._shown()}")

    def _value_columns(self, taken: set[str], *, long: bool) -> list[str]:
        if long and "value" in self._by_lower:
            return [self._by_lower["value"]]
        free = [name for name in self._cells if name not in taken and name.lower() not in _NO_VALUES]
        values = [name for name in free if _mostly(self._cells[name], _is_number)]
        if not values:
            raise ReplayError(f"{self._path}: no column holds numbers; say value_columns, some of {self._shown()}")
        return values


def _mostly(column: list[Cell], fits: Callable[[Cell], bool]) -> bool:
    """Whether more than half of the cells fit: a few bad ones must not hide a column."""
    return 2 * sum(map(fits, column)) > len(column)


def _is_time(cell: Cell, *, zone: tzinfo, numbers: bool) -> bool:
    try:
        time_ms = cells.epoch_ms(cell, zone)
    except ValueError:
        return False
    return not _is_number(cell) or (numbers and time_ms in _PLAUSIBLE_MS)


def _is_number(cell: Cell) -> bool:
    try:
        cells.number(cell)
    except ValueError:
        return False
    return True
