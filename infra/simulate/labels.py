"""Ground truth beside the data: windows of anomalies from a label file, as epoch milliseconds."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Any

import numpy as np

from infra.simulate import cells
from infra.simulate.files import ReplayError, Row, rows, stem
from operators.batches import Flags, Ints

_NO_PAIR = "windows must be pairs [first, last] of times"


@dataclass(frozen=True, slots=True)
class LabelWindows:
    """windows: [first, last] of each anomaly, epoch milliseconds, both inside.

    probation_rows: so many rows at the start of the data are not to be judged.
    """

    windows: tuple[tuple[int, int], ...]
    probation_rows: int = 0

    def hold(self, time_ms: Ints) -> Flags:
        """(n,) whether each time lies in a window."""
        inside = np.zeros(len(time_ms), np.bool_)
        for first, last in self.windows:
            inside |= (time_ms >= first) & (time_ms <= last)
        return inside


def read_labels(path: Path, *, data: Path, zone: tzinfo) -> LabelWindows:
    """The windows for the file `data`. zone: of times that name none. Raises ReplayError.

    JSON: a list of [first, last], or an object from file names to such lists, or to objects with "windows" (and
    "probation_rows") as in the Numenta benchmark; the entry is the one with the data file's name.
    Else rows (CSV, JSONL, Parquet) with the columns `start` and `end`.
    """
    if path.suffix.lower() == ".json":
        return _from_json(path, data, zone)
    return LabelWindows(tuple(_from_rows(path, zone)))


def _from_json(path: Path, data: Path, zone: tzinfo) -> LabelWindows:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ReplayError(f"{path}: cannot be read: {error}") from None
    entry = _entry(path, found, data) if isinstance(found, dict) else found
    probation = 0
    if isinstance(entry, dict):
        probation = entry.get("probation_rows", 0)
        entry = entry.get("windows", [])
    if not isinstance(entry, list) or not isinstance(probation, int):
        raise ReplayError(f"{path}: {_NO_PAIR}")
    return LabelWindows(tuple(_pair(path, pair, zone) for pair in entry), probation)


def _entry(path: Path, found: dict[str, Any], data: Path) -> Any:
    if "windows" in found:
        return found
    keys = [key for key in found if stem(Path(key)) == stem(data)]
    same_folder = [key for key in keys if Path(key).parent.name == data.absolute().parent.name]
    keys = same_folder or keys
    if len(keys) != 1:
        what = "no entry" if not keys else f"several entries ({', '.join(keys)})"
        raise ReplayError(f"{path}: {what} for {data.name}; an entry is found by the file's name and folder")
    return found[keys[0]]


def _from_rows(path: Path, zone: tzinfo) -> list[tuple[int, int]]:
    windows = []
    with closing(rows(path)) as reader:
        for row in reader:
            if not isinstance(row, Row):
                raise ReplayError(f"{path}:{row.line}: {row.reason}")
            if missing := {"start", "end"} - row.cells.keys():
                raise ReplayError(f"{path}: no column {' and '.join(sorted(missing))}; windows need start and end")
            try:
                windows.append(_window(row.cells["start"], row.cells["end"], zone))
            except ValueError as error:
                raise ReplayError(f"{path}:{row.line}: {error}") from None
    return windows


def _pair(path: Path, pair: Any, zone: tzinfo) -> tuple[int, int]:
    if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
        raise ReplayError(f"{path}: {_NO_PAIR}, not {pair!r}")
    try:
        return _window(pair[0], pair[1], zone)
    except ValueError as error:
        raise ReplayError(f"{path}: {error}") from None


def _window(start: Any, end: Any, zone: tzinfo) -> tuple[int, int]:
    first, last = cells.epoch_ms(start, zone), cells.epoch_ms(end, zone)
    if last < first:
        raise ValueError(f"the window from {start} to {end} ends before it begins")
    return first, last
