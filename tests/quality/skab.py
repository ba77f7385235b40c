"""The Skoltech Anomaly Benchmark: its files, its figures, and what the flow's operators say of them as assets.

Katser, Kozitsin: Skoltech Anomaly Benchmark (2020), and the data's README. Rows 0 .. 399 of each file are for learning,
labels unused; all later rows are classified, and counted over all files together.
"""

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flows.settings import Assets, Duration
from models.asset import AssetModel
from operators.assets import AssetShard, TickStore
from operators.batches import Rows, Series

Flags = npt.NDArray[np.bool_]

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "skab"
WARM_UP_ROWS = 400
_BATCH_ROWS = 200


class NoDataError(Exception):
    """The benchmark's files are not where they should be; the message is one line for people."""


@dataclass(frozen=True, slots=True)
class File:
    """One experiment with eight sensors; `name` holds its group: "valve1/0.csv".

    time_ms: (n,) from the first row. values: (n, k). anomaly: (n,) the labels; None for the run without any fault.
    """

    name: str
    sensors: tuple[str, ...]
    time_ms: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    anomaly: Flags | None


@dataclass(frozen=True, slots=True)
class Figures:
    """f1: 0 .. 1. far: false alarms in percent of normal rows. mar: missed rows in percent of anomalous ones."""

    f1: float
    far: float
    mar: float


def load(data: Path = DATA) -> list[File]:
    """All files, in order of their names. Raises NoDataError."""
    path = data / "index.json"
    if not path.is_file():
        raise NoDataError(f"no SKAB data: {path} is not there")
    return [_file(data, name) for name in sorted(json.loads(path.read_text()))]


def _file(data: Path, name: str) -> File:
    with gzip.open(data / f"{name}.gz", "rt", encoding="utf-8") as lines:
        header = next(lines).strip().split(",")
        cells = [line.strip().split(",") for line in lines]
    labelled = "anomaly" in header
    sensors = tuple(header[1:-2] if labelled else header[1:])
    time_ms = np.array([row[0] for row in cells], "datetime64[ms]").astype(np.int64)
    values = np.array([row[1 : 1 + len(sensors)] for row in cells], np.float64)
    anomaly = np.array([row[header.index("anomaly")] == "1" for row in cells]) if labelled else None
    return File(name, sensors, time_ms - time_ms[0], values, anomaly)


def score(predictions: Mapping[str, Flags], files: Iterable[File]) -> Figures:
    """Figures over the labelled ones of these files together. predictions: (n,) of each, by its name."""
    hits = false_alarms = missed = quiet = 0
    for file in files:
        if file.anomaly is not None:
            said, true = predictions[file.name][WARM_UP_ROWS:], file.anomaly[WARM_UP_ROWS:]
            if len(predictions[file.name]) != len(file.anomaly):
                raise ValueError(f"{file.name}: {len(predictions[file.name])} verdicts on {len(file.anomaly)} rows")
            hits += int((said & true).sum())
            false_alarms += int((said & ~true).sum())
            missed += int((~said & true).sum())
            quiet += int((~said & ~true).sum())
    return Figures(
        f1=_ratio(2 * hits, 2 * hits + false_alarms + missed),
        far=100 * _ratio(false_alarms, false_alarms + quiet),
        mar=100 * _ratio(missed, missed + hits),
    )


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else np.nan


def predict(file: File, assets: Assets) -> Flags:
    """The verdict on each row: the file's sensors as one asset, in one causal pass over batches of rows."""
    tick_ms, slots = assets.tick.ms, np.arange(len(file.sensors))
    store = TickStore(by="asset_id", tick_ms=tick_ms, shards=1)
    store.enrol(slots, [Series(sensor, asset_id=file.name) for sensor in file.sensors])
    model = AssetModel(threshold=assets.threshold, warm_up=assets.warm_up, longest=assets.longest)
    shard = AssetShard(by="asset_id", tick_ms=tick_ms, model=model)
    rows: list[Rows] = []
    for begin in range(0, len(file.values), _BATCH_ROWS):
        values = file.values[begin : begin + _BATCH_ROWS]
        time_ms = file.time_ms[begin : begin + _BATCH_ROWS]
        store.add(np.tile(slots, len(values)), np.repeat(time_ms, len(slots)), values.ravel())
        last = begin + _BATCH_ROWS >= len(file.values)
        for ticks in store.messages(None if last else int(time_ms[-1])).values():
            shard.add("skab/0/0", ticks)
        rows += shard.judge(None if last else int(time_ms[-1]))
    alarms = [row["time"] for part in rows for row in part.to_dicts() if row["is_anomaly"]]
    return np.isin(file.time_ms // tick_ms * tick_ms, alarms)


def run(files: Iterable[File], assets: Assets | None = None) -> dict[str, Flags]:
    """Predictions for `score`, with the default configuration unless told otherwise; a tick is a row's second."""
    judged = assets or Assets(tick=Duration(1000))
    return {file.name: predict(file, judged) for file in files}


def by_group(predictions: Mapping[str, Flags], files: Iterable[File]) -> dict[str, Figures]:
    """Figures of each group of files."""
    groups: dict[str, list[File]] = {}
    for file in files:
        if file.anomaly is not None:
            groups.setdefault(file.name.partition("/")[0], []).append(file)
    return {group: score(predictions, members) for group, members in groups.items()}
