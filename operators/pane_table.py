"""The panes of one `by` set in a window shard: kept as they came, merged to windows when those are due."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from operators.aggregates import Aggregate
from operators.batches import Floats, Ints, Labels
from operators.intake import NO_WATERMARK
from operators.moments import Moments
from operators.panes import GroupKey, Partials, WindowSpec, resumed
from operators.sketch import Sketch

_SPARE_GROUPS = 1000
"""Groups without panes that are remembered before their numbers are given out anew."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Partial aggregates, a row each: of a pane or a window (its start) and a group (its number), by start."""

    start_ms: Ints
    group: Ints
    moments: Moments
    sketch: Sketch
    extra: list[Floats]

    def __len__(self) -> int:
        return len(self.group)

    def take(self, rows: npt.NDArray[np.intp]) -> "Chunk":
        """Some rows, in ascending order."""
        if len(rows) == len(self):
            return self
        extra = [state[rows] for state in self.extra]
        return Chunk(self.start_ms[rows], self.group[rows], self.moments.select(rows), self.sketch.select(rows), extra)

    @classmethod
    def concatenated(cls, parts: Sequence["Chunk"]) -> "Chunk":
        """The rows of all parts (at least one), one part after the other."""
        return cls(
            np.concatenate([part.start_ms for part in parts]),
            np.concatenate([part.group for part in parts]),
            Moments.concatenated([part.moments for part in parts]),
            Sketch.concatenated([part.sketch for part in parts], [len(part) for part in parts]),
            [np.concatenate(states) for states in zip(*(part.extra for part in parts), strict=True)],
        )


class _Codes(dict[GroupKey, int]):
    """Groups numbered as they are first seen."""

    def __missing__(self, key: GroupKey) -> int:
        return self.setdefault(key, len(self))


class PaneTable:
    """Rows of panes, any number per pane and group: sensor shards each send their part."""

    def __init__(self, by: tuple[str, ...], windows: Sequence[WindowSpec], aggregates: Sequence[Aggregate]) -> None:
        self.by = by
        self.windows = tuple(windows)
        self._aggregates = aggregates
        self._codes = _Codes()
        self._most_codes = _SPARE_GROUPS
        self._fresh: list[Chunk] = []
        self._chunks: list[Chunk] = []

    def add(self, partials: Partials) -> None:
        """Keep closed panes."""
        codes = self._codes
        group = np.array([codes[key] for key in partials.keys], np.int64)
        self._fresh.append(Chunk(partials.start_ms, group, partials.moments, partials.sketch, list(partials.extra)))

    def labels(self, group: Ints) -> dict[str, Labels]:
        """(n,) group numbers -> a column of text per `by` column."""
        used, codes = np.unique(group, return_inverse=True)
        every = list(self._codes)
        keys = [every[one] for one in used.tolist()]
        texts = codes.astype(np.int32)
        return {name: Labels(texts, [key[place] for key in keys]) for place, name in enumerate(self.by)}

    def close(self, window: WindowSpec, *, after_ms: int, until_ms: int) -> Chunk:
        """The windows that hold any pane and end in (after_ms, until_ms], a row per window and group, by start."""
        self._settle()
        parts = [
            part for chunk in self._chunks for part in _windows_of(chunk, window, after_ms=after_ms, until_ms=until_ms)
        ]
        return self._merge(parts)

    def _settle(self) -> None:
        """What the sensor shards sent since the last time as one chunk: to look at many small ones is dear."""
        if not self._fresh:
            return
        rows = Chunk.concatenated(self._fresh)
        once = rows.start_ms.min() == rows.start_ms.max() and np.bincount(rows.group).max() == 1
        self._chunks.append(rows if once else self._merge([rows]))
        self._fresh = []

    def forget(self, watermark_ms: int) -> None:
        """Drop panes whose last window has closed."""
        self._settle()
        kept = []
        for chunk in self._chunks:
            if self._last_end(chunk.start_ms[-1]) <= watermark_ms:
                continue
            if self._last_end(chunk.start_ms[0]) <= watermark_ms:
                starts = np.unique(chunk.start_ms)
                needed = next(start for start in starts.tolist() if self._last_end(start) > watermark_ms)
                chunk = chunk.take(np.flatnonzero(chunk.start_ms >= needed))
            kept.append(chunk)
        self._chunks = kept
        self._renumber()

    def last_end_ms(self) -> int:
        """The end of the last window that any pane is in; NO_WATERMARK without panes."""
        self._settle()
        return max([self._last_end(chunk.start_ms[-1]) for chunk in self._chunks], default=NO_WATERMARK)

    def _last_end(self, start_ms: int) -> int:
        """The end of the last window that a pane is in; it grows with the pane's start."""
        return max(int(start_ms) // w.hop_ms * w.hop_ms + w.size_ms for w in self.windows)

    def _merge(self, parts: Sequence[Chunk]) -> Chunk:
        """One row per start and group."""
        groups = max(1, len(self._codes))
        if not parts:
            none = np.empty(0, np.int64)
            return Chunk(none, none, Moments(), Sketch(), [aggregate.initialize(0) for aggregate in self._aggregates])
        rows = Chunk.concatenated(parts)
        # Starts fit in 41 bits until 2039 and in 42 until 2109, which leaves room for two million groups.
        unique, into = np.unique(rows.start_ms * groups + rows.group, return_inverse=True)
        moments, sketch = Moments(len(unique)), Sketch()
        moments.merge(into, rows.moments)
        sketch.merge(into, rows.sketch)
        extra = [aggregate.initialize(len(unique)) for aggregate in self._aggregates]
        for state, theirs, aggregate in zip(extra, rows.extra, self._aggregates, strict=True):
            aggregate.merge(state, into, theirs)
        return Chunk(unique // groups, unique % groups, moments, sketch, extra)

    def _renumber(self) -> None:
        """Forget groups that have no panes any more, when there are many."""
        if len(self._codes) <= self._most_codes and self._chunks:
            return
        used = np.unique(np.concatenate([chunk.group for chunk in self._chunks])) if self._chunks else np.empty(0, int)
        self._most_codes = 2 * len(used) + _SPARE_GROUPS
        if len(self._codes) <= self._most_codes and self._chunks:
            return
        every = list(self._codes)
        self._codes = _Codes((every[code], place) for place, code in enumerate(used.tolist()))
        self._chunks = [
            Chunk(c.start_ms, np.searchsorted(used, c.group), c.moments, c.sketch, c.extra) for c in self._chunks
        ]

    @property
    def nbytes(self) -> int:
        """Memory of the panes, bytes."""
        return sum(chunk.moments.nbytes + chunk.sketch.nbytes for chunk in self._chunks + self._fresh)

    def snapshot(self) -> tuple[Any, ...]:
        """The by columns, the group keys, the panes as plain arrays."""
        self._chunks = [merged] if len(merged := self._merge(self._chunks + self._fresh)) else []
        self._fresh = []
        extra = tuple((a.name, state.copy()) for a, state in zip(self._aggregates, merged.extra, strict=True))
        arrays = (merged.start_ms, merged.group, merged.moments.state(), merged.sketch.state(), extra)
        return (self.by, tuple(self._codes), arrays)

    def load(self, keys: tuple[GroupKey, ...], arrays: tuple[Any, ...]) -> None:
        """Go on from `snapshot()`."""
        self._codes = _Codes((key, code) for code, key in enumerate(keys))
        start_ms, group, moments, sketch, extra = arrays
        states = resumed(self._aggregates, extra, len(group))
        chunk = Chunk(start_ms, group, Moments.from_state(moments), Sketch.from_state(sketch), states)
        self._chunks = [chunk] if len(chunk) else []


def _windows_of(chunk: Chunk, window: WindowSpec, *, after_ms: int, until_ms: int) -> list[Chunk]:
    """The chunk's panes as parts of the windows that end in (after_ms, until_ms]: start_ms is then the window's."""
    size, hop = window.size_ms, window.hop_ms
    oldest, newest = int(chunk.start_ms[0]), int(chunk.start_ms[-1])
    # The k-th window before the newest one that holds a pane ends k hops earlier: only some k can be due.
    first = max(0, -((until_ms - size - oldest // hop * hop) // hop))
    last = min((size - 1) // hop, (newest // hop * hop + size - after_ms - 1) // hop)
    parts = []
    for k in range(first, last + 1):
        start = (chunk.start_ms // hop - k) * hop
        if oldest == newest:  # one pane, as usual: all its rows or none
            part = chunk if max(oldest, after_ms) < start[0] + size <= until_ms else None
        else:
            end = start + size
            rows = np.flatnonzero((end > chunk.start_ms) & (end > after_ms) & (end <= until_ms))
            part, start = chunk.take(rows) if len(rows) else None, start[rows]
        if part is not None:
            parts.append(Chunk(start, part.group, part.moments, part.sketch, part.extra))
    return parts
