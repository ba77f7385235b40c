"""Readings through the sensor step of the flow, as arrays: what was said of each reading, by whom, and at what cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import process_time
from typing import Any

import numpy as np
import numpy.typing as npt

from flows.backtest import judged, repeats, stamped
from flows.production import registry
from flows.settings import Settings
from operators.batches import Lists, Maps, Rows, Series, SeriesDictionary

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

Advance = Callable[[int], None]
"""Told how many more readings are done."""


@dataclass(frozen=True, slots=True)
class Said:
    """One entry per reading, in the order given.

    score, is_anomaly: the verdict. flagged: who flagged it, rules and models by name.
    raw, surprise: each detector's, by name; empty when not asked for.
    us: CPU microseconds of a reading in the whole sensor step.
    """

    score: Floats
    is_anomaly: Flags
    flagged: dict[str, Flags]
    raw: dict[str, Floats]
    surprise: dict[str, Floats]
    us: float


def judge(
    settings: Settings,
    series: Sequence[Series],
    sensor: Ints,
    time_ms: Ints,
    value: Floats,
    *,
    scores: bool,
    advance: Advance = lambda _: None,
) -> Said:
    """Readings in order of arrival, as one partition with one shard. sensor: (n,) indices into `series`.

    scores: whether each detector's are kept. A reading that is dropped as repeated gets the verdict on the first.
    """
    known = registry(settings, {})
    readings = stamped(
        SeriesDictionary([known.complete(one) for one in series]),
        sensor.astype(np.int32),
        time_ms,
        value,
        row=np.arange(len(sensor)),
        column=np.zeros(len(sensor), np.int32),
        lateness_ms=settings.event_time.lateness.ms,
    )
    found, done = _Found(len(sensor), scores), 0

    def on_progress(rows: int) -> None:
        nonlocal done
        advance(rows - done)
        done = rows

    begin_s = process_time()
    for rows in judged(settings, known, readings, on_progress=on_progress):
        if rows.table == "readings":
            found.take(rows)
    us = 1e6 * (process_time() - begin_s) / max(len(sensor), 1)
    found.repeat(*repeats(readings, found.stored))
    return Said(found.score, found.is_anomaly, found.flagged, found.raw, found.surprise, us)


class _Found:
    """Arrays to be filled from rows of the table readings."""

    def __init__(self, readings: int, scores: bool) -> None:
        self._readings, self._scores = readings, scores
        self.stored, self.is_anomaly = np.zeros(readings, np.bool_), np.zeros(readings, np.bool_)
        self.score = np.full(readings, np.nan)
        self.flagged: dict[str, Flags] = {}
        self.raw: dict[str, Floats] = {}
        self.surprise: dict[str, Floats] = {}

    def take(self, rows: Rows) -> None:
        """One batch."""
        at: Any = rows.columns["offset"]
        self.stored[at] = True
        self.score[at], self.is_anomaly[at] = rows.columns["score"], rows.columns["is_anomaly"]
        flagged_by, raw, surprise = (rows.columns[name] for name in ("flagged_by", "scores", "surprises"))
        assert isinstance(flagged_by, Lists)
        assert isinstance(raw, Maps)
        assert isinstance(surprise, Maps)
        for place, name in enumerate(flagged_by.names):
            self.flagged.setdefault(name, np.zeros(self._readings, np.bool_))[at] = flagged_by.chosen[:, place]
        for into, numbers in ((self.raw, raw), (self.surprise, surprise)) if self._scores else ():
            for place, name in enumerate(numbers.keys):
                into.setdefault(name, np.full(self._readings, np.nan))[at] = numbers.values[:, place]

    def repeat(self, repeated: Ints, first: Ints) -> None:
        """Say the same of these readings as of those."""
        columns = (self.score, self.is_anomaly, *self.flagged.values(), *self.raw.values(), *self.surprise.values())
        for column in columns:
            column[repeated] = column[first]
