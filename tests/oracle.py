"""What the tables must hold, computed the plain way: one batch, no streaming, no panes, no sharing of engine code.

    partition 0 in offset order   a 10:00  a 10:02  b 09:00  a 10:02  a 10:02 (other value)
    lateness 10 s, verdict        on time  on time  late     duplicate  on time, conflict

Slow on purpose. Agrees with event_time_spec.py beside DESIGN.md on what is late and on what windows hold.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Reading = Mapping[str, Any]
"""Keys: sensor_id, sensor_type, location, asset_id, unit, topic (text, '' when not said); time_ms, partition, offset,
idx (int); value (float); and, when anomalies are to be counted, is_anomaly (bool)."""

Verdict = Literal["on_time", "late", "duplicate"]


class Window(NamedTuple):
    """A window of the configuration; hop_ms equals size_ms for a tumbling one."""

    name: str
    size_ms: int
    hop_ms: int
    by: tuple[str, ...]


@dataclass(frozen=True)
class Judged:
    """One reading and what becomes of it.

    watermark_ms: its partition's watermark at the row, the row itself included.
    conflict: the same sensor and time came before with another value (also said of late readings).
    """

    reading: Reading
    watermark_ms: int
    verdict: Verdict
    conflict: bool


@dataclass(frozen=True)
class WindowRow:
    """One window of one group; `group` holds the values of the window's `by` columns, in their order."""

    window: str
    start_ms: int
    end_ms: int
    group: tuple[str, ...]
    count: int
    mean: float
    min: float
    max: float
    stddev: float
    first: float
    last: float
    p50: float
    p95: float
    anomaly_count: int

    @property
    def key(self) -> tuple[str, int, tuple[str, ...]]:
        """What names the row."""
        return self.window, self.start_ms, self.group


@dataclass(frozen=True)
class Expected:
    """judged: every reading, partition by partition.
    windows: all rows with readings; closed: those of them whose end has passed.
    """

    judged: list[Judged]
    windows: list[WindowRow]
    closed: list[WindowRow]

    def counts(self) -> Counter[str]:
        """readings = on_time + late + duplicates; conflicts are part of on_time, as in the ledger."""
        verdicts = Counter(row.verdict for row in self.judged)
        return Counter(
            readings=len(self.judged),
            on_time=verdicts["on_time"],
            late=verdicts["late"],
            duplicates=verdicts["duplicate"],
            conflicts=sum(row.conflict and row.verdict == "on_time" for row in self.judged),
        )


def expected(
    partitions: Iterable[Sequence[Reading]],
    *,
    windows: Iterable[Window],
    lateness_ms: int,
    dedup_horizon_ms: int,
) -> Expected:
    """The tables for these partitions, each a sequence of readings in offset order (rejected ones left out).

    Windows are closed up to the smallest final watermark of the partitions that have readings.
    """
    judged_partitions = [judge(rows, lateness_ms=lateness_ms, dedup_horizon_ms=dedup_horizon_ms) for rows in partitions]
    judged = [row for rows in judged_partitions for row in rows]
    on_time = [row.reading for row in judged if row.verdict == "on_time"]
    rows = [row for window in windows for row in window_rows(on_time, window)]
    closed_up_to = min((rows[-1].watermark_ms for rows in judged_partitions if rows), default=-math.inf)
    return Expected(judged, rows, [row for row in rows if row.end_ms <= closed_up_to])


def judge(rows: Iterable[Reading], *, lateness_ms: int, dedup_horizon_ms: int) -> list[Judged]:
    """The verdict on each reading of one partition, in offset order."""
    judged = []
    newest_ms = -math.inf
    accepted: dict[tuple[str, int], set[float]] = defaultdict(set)
    for row in rows:
        newest_ms = max(newest_ms, row["time_ms"])
        watermark_ms = int(newest_ms) - lateness_ms
        known: set[float] = set()
        if row["time_ms"] >= watermark_ms - dedup_horizon_ms:
            known = accepted[row["sensor_id"], row["time_ms"]]
        verdict: Verdict = "late" if row["time_ms"] < watermark_ms else "on_time"
        if row["value"] in known:
            verdict = "duplicate"
        judged.append(Judged(row, watermark_ms, verdict, conflict=bool(known) and verdict != "duplicate"))
        if verdict != "duplicate":
            known.add(row["value"])
    return judged


def window_rows(on_time: Iterable[Reading], window: Window) -> list[WindowRow]:
    """The rows of one window over readings on time, in order of start and group."""
    contents: dict[tuple[int, tuple[str, ...]], list[Reading]] = defaultdict(list)
    for row in on_time:
        group = tuple(row[column] for column in window.by)
        for start_ms in starts(row["time_ms"], window):
            contents[start_ms, group].append(row)
    return [_window_row(window, start_ms, group, rows) for (start_ms, group), rows in sorted(contents.items())]


def starts(time_ms: int, window: Window) -> list[int]:
    """Starts of the windows that hold a time: the multiples of the hop with start <= time < start + size."""
    newest = time_ms // window.hop_ms * window.hop_ms
    return list(range(newest, time_ms - window.size_ms, -window.hop_ms))


def _window_row(window: Window, start_ms: int, group: tuple[str, ...], rows: list[Reading]) -> WindowRow:
    in_order = sorted(rows, key=lambda r: (r["time_ms"], r["topic"], r["partition"], r["offset"], r["idx"]))
    values = [row["value"] for row in in_order]
    ranked = sorted(values)
    n = len(values)
    mean = math.fsum(values) / n
    return WindowRow(
        window=window.name,
        start_ms=start_ms,
        end_ms=start_ms + window.size_ms,
        group=group,
        count=n,
        mean=mean,
        min=ranked[0],
        max=ranked[-1],
        stddev=math.sqrt(math.fsum((value - mean) ** 2 for value in values) / n),
        first=values[0],
        last=values[-1],
        p50=ranked[50 * (n - 1) // 100],
        p95=ranked[95 * (n - 1) // 100],
        anomaly_count=sum(bool(row.get("is_anomaly", False)) for row in rows),
    )
