"""Recorded columns through the very same operators as the flow's, in one causal pass: no broker, no ClickHouse.

One backtest is one partition with one shard. Rows are its messages, a row's columns the readings within one; time is
event time only, nothing falls idle, and no time stamp is compared with a clock.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import msgspec
import numpy as np
from bytewax.testing import TestingSink, TestingSource

from flows.parts import Parts
from flows.ports import Ports
from flows.settings import Settings
from models.asset import AssetModel
from operators.batches import (
    LATE,
    ON_TIME,
    Codes,
    Flags,
    Floats,
    Ints,
    Labels,
    Lists,
    ReadingBatch,
    Rows,
    Series,
    SeriesDictionary,
)
from operators.intake import IntakeBatch
from operators.quality import OK
from operators.registry import Registry
from operators.series_codes import SeriesCodes
from operators.timestamps import LATEST_MS

TOPIC = "backtest"
_SOURCE = f"{TOPIC}/0"
BATCH_READINGS = 8192


@dataclass(frozen=True, slots=True)
class ColumnVerdicts:
    """What the flow said of one column, one entry per row.

    score: NaN while unknown and where there was no reading. is_anomaly: its own verdict; out_of_range: that alone
        makes it one. flagged_by: names of rules and models, joined by ", ".
    expected, low, high: the value expected and the ends of its interval; NaN while unknown.
    """

    score: Floats
    is_anomaly: Flags
    out_of_range: Flags
    flagged_by: list[str]
    expected: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True)
class AssetResult:
    """What was said of all columns together, one entry per row; score is NaN while unknown."""

    score: Floats
    is_anomaly: Flags


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """One entry per row, in the order given.

    score: the largest of the columns'; NaN where there is none. is_anomaly: any of them is flagged.
    With an asset both are the asset's own, once it is known; a column out of range is still flagged. An alarm
    of one sensor says that it differs from its own past; whether the asset does, all of them tell better.
    asset: the verdict on all columns together; None when none was asked for.
    """

    score: Floats
    is_anomaly: Flags
    columns: dict[str, ColumnVerdicts]
    asset: AssetResult | None


def run(
    settings: Settings,
    time_ms: Ints,
    columns: Mapping[str, Floats],
    *,
    series: Mapping[str, Series | Sequence[Series]] | None = None,
    asset: str = "",
    registry: Registry | None = None,
    batch_readings: int = BATCH_READINGS,
    on_progress: Callable[[int], None] | None = None,
) -> BacktestResult:
    """Judge rows in the order given; the result does not depend on `batch_readings`.

    time_ms: (n,) epoch milliseconds; a row whose time lies outside 1970 .. 2299 has no readings.
    columns: (n,) values by name; NaN where there is none. Each column is one sensor of that name and type, unless
    series: says otherwise, for all its rows or row by row.
    asset: what all columns belong to.
    on_progress: told after each batch how many rows are done.

    A reading that repeats an earlier one (same sensor, time and value) gets its verdict.
    """
    registry = registry or Registry()
    readings = _readings(
        time_ms,
        columns,
        series=series or {},
        asset=asset,
        registry=registry,
        lateness_ms=settings.event_time.lateness.ms,
    )
    seen = _Seen(len(time_ms), len(columns))
    for rows in judged(settings, registry, readings, batch_readings=batch_readings, on_progress=on_progress):
        if rows.table == "readings":
            seen.take(rows)
    seen.fill_repeats(readings)
    found = {name: seen.column(place) for place, name in enumerate(columns)}
    together = _judged_together(settings, list(columns.values()), seen.in_order) if asset and len(columns) > 1 else None
    return _combined(found, together)


def _combined(columns: dict[str, ColumnVerdicts], asset: AssetResult | None) -> BacktestResult:
    score = np.fmax.reduce([one.score for one in columns.values()])
    is_anomaly = np.any([one.is_anomaly for one in columns.values()], axis=0)
    if asset is not None:
        known = np.isfinite(asset.score)
        out_of_range = np.any([one.out_of_range for one in columns.values()], axis=0)
        score = np.where(known, asset.score, score)
        is_anomaly = np.where(known, asset.is_anomaly | out_of_range, is_anomaly)
    return BacktestResult(score, is_anomaly, columns, asset)


def _readings(
    time_ms: Ints,
    columns: Mapping[str, Floats],
    *,
    series: Mapping[str, Series | Sequence[Series]],
    asset: str,
    registry: Registry,
    lateness_ms: int,
) -> ReadingBatch:
    """All readings, row by row and within a row by column, with the watermark as a partition's intake stamps it."""
    codes = SeriesCodes(registry)
    values = np.column_stack(list(columns.values()))
    code = np.empty(values.shape, np.int32)
    for place, name in enumerate(columns):
        given = series.get(name, Series(name, name))
        many = [given] if isinstance(given, Series) else given
        code[:, place] = [codes.code(one._replace(asset_id=asset or one.asset_id)) for one in many]
    plausible = (time_ms >= 0) & (time_ms <= LATEST_MS)
    row, column = np.nonzero(np.isfinite(values) & plausible[:, None] & (code >= 0))  # below 0: a type that is refused
    return stamped(
        codes.series,
        code[row, column],
        time_ms[row],
        values[row, column],
        row=row,
        column=column.astype(np.int32),
        lateness_ms=lateness_ms,
    )


def stamped(
    series: SeriesDictionary,
    code: Codes,
    time_ms: Ints,
    value: Floats,
    *,
    row: Ints,
    column: Codes,
    lateness_ms: int,
) -> ReadingBatch:
    """Readings of one partition in offset order, for `judged`. row, column: where each was; its offset and index."""
    watermark = np.maximum.accumulate(time_ms) - lateness_ms
    late = np.where(time_ms < watermark, LATE, ON_TIME).astype(np.uint8)
    return ReadingBatch(series, code, time_ms, value, row, column, watermark, late)


def judged(
    settings: Settings,
    registry: Registry,
    readings: ReadingBatch,
    *,
    batch_readings: int = BATCH_READINGS,
    on_progress: Callable[[int], None] | None = None,
) -> Iterator[Rows]:
    """Rows of the sensor step for all its tables, as the flow would store them; so many readings at a time.

    on_progress: told after each batch how many rows are done.
    """
    # Windows and other shards change no verdict, only the time it takes.
    event_time = msgspec.structs.replace(settings.event_time, shards_per_partition=1)
    settings = msgspec.structs.replace(settings, event_time=event_time, windows=())
    parts = Parts(settings, Ports((_SOURCE,), lambda _: TestingSource([]), TestingSink([]), registry))
    clock, shard = parts.clock(_SOURCE), parts.sensor_shard(f"{_SOURCE}/0")
    for begin in range(0, len(readings), batch_readings):
        batch = readings.take(np.arange(begin, min(begin + batch_readings, len(readings))))
        clocked = clock.on_batch(IntakeBatch(TOPIC, 0, batch, None, (), int(batch.watermark_ms[-1]), False))
        for part in clocked.shards:
            yield from shard.on_batch(part).rows
        if on_progress is not None:
            on_progress(int(batch.offset[-1]) + 1)


def _judged_together(settings: Settings, columns: list[Floats], in_order: Flags) -> AssetResult:
    """The verdict on the columns as sensors of one asset; every row is a tick, since it holds all of them at one time.

    in_order: (n, columns) the readings to judge by. A row without any keeps the verdict before it.
    """
    assets = settings.assets
    model = AssetModel(threshold=assets.threshold, warm_up=assets.warm_up, longest=assets.longest)
    model.grow(np.zeros(len(columns), np.int64))
    row, member = np.nonzero(in_order)
    ticks, tick = np.unique(row, return_inverse=True)
    verdicts = model.judge(tick, member, np.column_stack(columns)[row, member])
    newest = np.searchsorted(ticks, np.arange(len(in_order)), side="right") - 1  # -1: none yet
    score, is_anomaly = np.append(verdicts.score, np.nan), np.append(verdicts.is_anomaly, False)
    return AssetResult(score[newest], is_anomaly[newest])


def repeats(readings: ReadingBatch, stored: Flags) -> tuple[Ints, Ints]:
    """Rows that were dropped as repeated, and the rows, of the same sensor, time and value, that they repeat.

    stored: (n,) the others.
    """
    near = np.flatnonzero(np.isin(readings.time_ms, readings.time_ms[~stored]))
    latest: dict[tuple[int, int, float], int] = {}
    repeated, first = [], []
    keys = zip(
        readings.code[near].tolist(), readings.time_ms[near].tolist(), readings.value[near].tolist(), strict=True
    )
    for row, key in zip(near.tolist(), keys, strict=True):
        if stored[row]:
            latest[key] = row
        else:
            repeated.append(row)
            first.append(latest[key])
    return np.array(repeated, np.int64), np.array(first, np.int64)


class _Seen:
    """Verdicts by row and column. in_order: readings on time and the newest of their sensor."""

    def __init__(self, rows: int, columns: int) -> None:
        self._numbers = {name: np.full((rows, columns), np.nan) for name in ("score", *_EXPECTED)}
        self._is_anomaly, self._out_of_range = np.zeros((2, rows, columns), np.bool_)
        self._flagged_by = np.full((rows, columns), "", object)
        self._stored = np.zeros((rows, columns), np.bool_)
        self.in_order = np.zeros((rows, columns), np.bool_)

    def take(self, rows: Rows) -> None:
        """Rows of the table readings."""
        at: Any = (rows.columns["offset"], rows.columns["idx"])
        for name, numbers in self._numbers.items():
            numbers[at] = rows.columns[name]
        self._is_anomaly[at] = rows.columns["is_anomaly"]
        self._out_of_range[at] = rows.columns["out_of_range"]
        flagged_by, quality = rows.columns["flagged_by"], rows.columns["quality"]
        assert isinstance(flagged_by, Lists)
        assert isinstance(quality, Labels)
        self.in_order[at] = quality.codes == OK
        for row in np.flatnonzero(flagged_by.chosen.any(axis=1)).tolist():
            names = compress(flagged_by.names, flagged_by.chosen[row].tolist())
            self._flagged_by[at[0][row], at[1][row]] = ", ".join(names)
        self._stored[at] = True

    def fill_repeats(self, readings: ReadingBatch) -> None:
        """Readings that were dropped as repeated get the verdict on the one they repeat."""
        repeated, first = repeats(readings, self._stored[readings.offset, readings.idx])
        if not len(repeated):
            return
        at, there = ((readings.offset[rows], readings.idx[rows]) for rows in (repeated, first))
        for array in (*self._numbers.values(), self._is_anomaly, self._out_of_range, self._flagged_by):
            array[at] = array[there]

    def column(self, place: int) -> ColumnVerdicts:
        """All rows of one column."""
        score, expected, low, high = (self._numbers[name][:, place] for name in ("score", *_EXPECTED))
        return ColumnVerdicts(
            score,
            self._is_anomaly[:, place],
            self._out_of_range[:, place],
            self._flagged_by[:, place].tolist(),
            expected,
            low,
            high,
        )


_EXPECTED = ("expected", "expected_low", "expected_high")
