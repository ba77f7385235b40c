"""Many small batches of rows as few larger ones: encoding costs per batch and column, hardly per row."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from operators.batches import Codes, ColumnData, Labels, Lists, Maps, Rows


def gather(batches: Sequence[Rows]) -> list[Rows]:
    """Batches of one table with the same columns joined, in their order; empty ones left out."""
    groups: dict[tuple[str, ...], list[Rows]] = {}
    for rows in batches:
        if len(rows):
            groups.setdefault((rows.table, *sorted(rows.columns)), []).append(rows)
    return [_join(group) if len(group) > 1 else group[0] for group in groups.values()]


def _join(batches: list[Rows]) -> Rows:
    lengths = [len(rows) for rows in batches]
    columns = {name: _column([rows.columns[name] for rows in batches], lengths) for name in batches[0].columns}
    return Rows(batches[0].table, sum(lengths), columns)


def _column(parts: list[Any], lengths: list[int]) -> ColumnData:
    joined: ColumnData | None = None
    for kind, join in _JOINS:
        if all(isinstance(part, kind) for part in parts):
            joined = join(parts, lengths)
    return list(chain.from_iterable(map(_plain, parts, lengths))) if joined is None else joined


def _scalars(parts: list[Any], lengths: list[int]) -> ColumnData:
    if all(part == parts[0] for part in parts):
        first: str | int = parts[0]
        return first
    if isinstance(parts[0], str):
        return Labels(np.repeat(np.arange(len(parts), dtype=np.int32), lengths), parts)
    return np.repeat(np.array(parts), lengths)


def _arrays(parts: list[Any], _: object) -> ColumnData | None:
    # Joined, integers and floats would become floats, and large integers lose their last digits.
    return np.concatenate(parts) if len({part.dtype.kind for part in parts}) == 1 else None


def _labels(parts: list[Labels], _: object) -> ColumnData:
    values: list[str] = []
    codes: list[Codes] = []
    begins: dict[int, int] = {}
    for part in parts:
        # Parts that share one list of texts, as those of one source do, name it once.
        begin = begins.setdefault(id(part.values), len(values))
        if begin == len(values):
            values.extend(part.values)
        codes.append(part.codes + np.int32(begin))
    return Labels(np.concatenate(codes), values)


def _maps(parts: list[Maps], _: object) -> ColumnData | None:
    if len({part.keys for part in parts}) > 1:
        return None
    present = None
    if any(part.present is not None for part in parts):
        present = np.vstack([np.ones(p.values.shape, np.bool_) if p.present is None else p.present for p in parts])
    return Maps(parts[0].keys, np.vstack([part.values for part in parts]), present)


def _lists(parts: list[Lists], _: object) -> ColumnData | None:
    same = len({part.names for part in parts}) == 1
    return Lists(parts[0].names, np.vstack([part.chosen for part in parts])) if same else None


def _plain(part: ColumnData, length: int) -> list[Any]:
    if isinstance(part, (str, int)):
        return [part] * length
    return part if isinstance(part, list) else part.tolist()


_JOINS: Sequence[tuple[type, Callable[[list[Any], list[int]], ColumnData | None]]] = (
    (str, _scalars),
    (int, _scalars),
    (np.ndarray, _arrays),
    (Labels, _labels),
    (Maps, _maps),
    (Lists, _lists),
)
