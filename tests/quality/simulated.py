"""How well verdicts find the simulator's faults: per sensor and minute, per kind, false alarms, delays.

    readings     . . . . x x x . . . .      x: ground truth says faulty
    alarms       . . . . . ! ! ! . . .      delay: 1 reading
    minutes     |  calm  |found |  false |  a minute is faulty when a reading in it is, or is missing through a silence

Verdicts may come from anywhere: this only compares them with the ground truth.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infra.simulate.config import FAULT_KINDS, FaultKind, SimulationConfig
from infra.simulate.faults import LABELS, NORMAL, SILENCE
from infra.simulate.simulation import Columns, Simulation

Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

MINUTE_MS = 60_000
DAY_MS = 86_400_000
START_MS = 1_767_225_600_000
"""2026-01-01, a Thursday."""
GAP_FACTOR = 3.0
"""Intervals without a reading after which a sensor counts as silent, as in the flow's default settings."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Simulated readings in order of time, with their ground truth. interval_ms: of each sensor."""

    columns: Columns
    sensors: int
    interval_ms: float
    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Kind:
    """Of one kind of fault: windows with it, and found; episodes, and found; median delay to the first alarm, s."""

    windows: int
    found: int
    episodes: int
    episodes_found: int
    delay_s: float

    @property
    def recall(self) -> float:
        """Of windows; NaN without any."""
        return self.found / self.windows if self.windows else np.nan


@dataclass(frozen=True, slots=True)
class Result:
    """Counts are of sensor-minutes after the warm-up.

    false_alarms_per_day: episodes of a sensor that touch no fault.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int
    false_alarms_per_day: float
    kinds: Mapping[FaultKind, Kind]

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.true_positives / (2 * self.true_positives + self.false_positives + self.false_negatives)

    @property
    def accuracy(self) -> float:
        """Part of the windows judged rightly."""
        right = self.true_positives + self.true_negatives
        return right / (right + self.false_positives + self.false_negatives)


def record(*, seed: int, sensors: int, interval_s: float, hours: float, fault_share: float = 0.05) -> Recording:
    """Readings of so many sensors, each sending every interval_s seconds."""
    config = SimulationConfig(seed=seed, sensors=sensors, rate=sensors / interval_s, fault_share=fault_share)
    to_ms = START_MS + round(hours * 3_600_000)
    columns = Simulation(config).columns(START_MS, to_ms)
    return Recording(columns, sensors, 1000.0 * interval_s, START_MS, to_ms)


def score(recording: Recording, alarm: Flags, *, warm_up_ms: int = 3_600_000) -> Result:
    """Compare alarms, (n,) one per reading, with the ground truth; what lies in the warm-up is left out.

    Silences are found by the gap rule of the flow: more than GAP_FACTOR intervals without a reading.
    """
    columns = recording.columns
    minutes = -(-(recording.to_ms - recording.from_ms) // MINUTE_MS)
    first = -(-warm_up_ms // MINUTE_MS)
    of_kind = np.zeros((len(LABELS), recording.sensors, minutes), np.bool_)
    flagged = np.zeros((recording.sensors, minutes), np.bool_)
    minute = (columns.time_ms - recording.from_ms) // MINUTE_MS
    of_kind[columns.label, columns.sensor, minute] = True
    flagged[columns.sensor[alarm], minute[alarm]] = True
    order = np.argsort(columns.sensor, kind="stable")
    false_alarms, episodes = 0, _Episodes()
    for rows in np.split(order, np.flatnonzero(np.diff(columns.sensor[order])) + 1):
        one, mine = columns.take(rows), alarm[rows]
        for begin, end in _silences(recording, one):
            span = (int(one.sensor[0]), slice(*_minutes(recording, one.time_ms[begin], one.time_ms[end])))
            of_kind[SILENCE][span] = True
            flagged[span] |= one.time_ms[end] - one.time_ms[begin] > GAP_FACTOR * recording.interval_ms
        judged = one.time_ms >= recording.from_ms + warm_up_ms
        false_alarms += _false_episodes(one, mine & judged)
        episodes.add(one, mine, judged)
    truth: Flags = np.logical_or.reduce(of_kind[1:, :, first:], axis=0)
    found: Flags = flagged[:, first:]
    days = recording.sensors * (recording.to_ms - recording.from_ms - warm_up_ms) / DAY_MS
    return Result(
        int((truth & found).sum()),
        int((~truth & found).sum()),
        int((truth & ~found).sum()),
        int((~truth & ~found).sum()),
        false_alarms / days,
        {kind: episodes.told(kind, of_kind[LABELS.index(kind), :, first:], found) for kind in FAULT_KINDS},
    )


def _minutes(recording: Recording, after_ms: int, until_ms: int) -> tuple[int, int]:
    """The minutes in which a reading is missing between these two."""
    first_missing = int(after_ms + recording.interval_ms)
    last_missing = int(until_ms - recording.interval_ms)
    return (first_missing - recording.from_ms) // MINUTE_MS, (last_missing - recording.from_ms) // MINUTE_MS + 1


def _silences(recording: Recording, one: Columns) -> list[tuple[int, int]]:
    """Readings of one sensor between which it was silent; simulated sensors never miss their turn otherwise."""
    before = np.flatnonzero(np.diff(one.time_ms) > 1.5 * recording.interval_ms)
    return [(int(row), int(row) + 1) for row in before]


def _stretches(flags: Flags) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(begin), int(end)) for begin, end in zip(edges[::2], edges[1::2], strict=True)]


def _false_episodes(one: Columns, alarm: Flags) -> int:
    """Alarms of one sensor that touch no fault; those less than a minute apart are one episode."""
    false, last_ms = 0, -DAY_MS
    for begin, end in _stretches(alarm):
        if not (one.label[begin:end] != NORMAL).any():
            false += one.time_ms[begin] - last_ms > MINUTE_MS
        last_ms = int(one.time_ms[end - 1])
    return int(false)


class _Episodes:
    """Collects the episodes of faults and when each was first told."""

    def __init__(self) -> None:
        self._delays: dict[int, list[float]] = {code: [] for code in range(len(LABELS))}

    def add(self, one: Columns, alarm: Flags, judged: Flags) -> None:
        for code in np.unique(one.label[one.label != NORMAL]).tolist():
            for begin, end in _stretches(one.label == code):
                if judged[begin]:
                    told = np.flatnonzero(alarm[begin:end])
                    delay_ms = one.time_ms[begin + told[0]] - one.time_ms[begin] if len(told) else np.inf
                    self._delays[code].append(float(delay_ms) / 1000.0)

    def told(self, kind: str, windows: Flags, flagged: Flags) -> Kind:
        delays = np.array(self._delays[LABELS.index(kind)])
        found = delays[np.isfinite(delays)]
        median = float(np.median(found)) if len(found) else np.nan
        return Kind(int(windows.sum()), int((windows & flagged).sum()), len(delays), len(found), median)
