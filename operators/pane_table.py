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
    """Partial aggregates, a row each: of a pane or a window (its start) and a group (its number)."""

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


class PaneTable:
    """Rows of panes, any number per pane and group: sensor shards each send their part."""

    def __init__(self, by: tuple[str, ...], windows: Sequence[WindowSpec], aggregates: Sequence[Aggregate]) -> None:
        self.by = by
        self.windows = tuple(windows)
        self._aggregates = aggregates
        self._keys: list[GroupKey] = []
        self._codes: dict[GroupKey, int] = {}
        self._chunks: list[Chunk] = []

    def add(self, partials: Partials) -> None:
        """Keep closed panes."""
        group = np.array([self._code(key) for key in partials.keys], np.int64)
        self._chunks.append(Chunk(partials.start_ms, group, partials.moments, partials.sketch, list(partials.extra)))

    def _code(self, key: GroupKey) -> int:
        code = self._codes.setdefault(key, len(self._keys))
        if code == len(self._keys):
            self._keys.append(key)
        return code

    def labels(self, group: Ints) -> dict[str, Labels]:
        """(n,) group numbers -> a column of text per `by` column."""
        used, codes = np.unique(group, return_inverse=True)
        keys = [self._keys[one] for one in used.tolist()]
        texts = codes.astype(np.int32)
        return {name: Labels(texts, [key[place] for key in keys]) for place, name in enumerate(self.by)}

    def close(self, window: WindowSpec, *, after_ms: int, until_ms: int) -> Chunk:
        """The windows that hold any pane and end in (after_ms, until_ms], a row per window and group, by start."""
        parts = [
            part for chunk in self._chunks for part in _windows_of(chunk, window, after_ms=after_ms, until_ms=until_ms)
        ]
        return self._merge(parts)

    def forget(self, watermark_ms: int) -> None:
        """Drop panes whose last window has closed."""
        kept = []
        for chunk in self._chunks:
            needed = np.flatnonzero(self._last_ends(chunk) > watermark_ms)
            if len(needed):
                kept.append(chunk.take(needed))
        self._chunks = kept
        self._renumber()

    def last_end_ms(self) -> int:
        """The end of the last window that any pane is in; NO_WATERMARK without panes."""
        return max([int(self._last_ends(chunk).max()) for chunk in self._chunks if len(chunk)], default=NO_WATERMARK)

    def _last_ends(self, chunk: Chunk) -> Ints:
        ends = np.stack([chunk.start_ms // w.hop_ms * w.hop_ms + w.size_ms for w in self.windows])
        last: Ints = ends.max(axis=0)
        return last

    def _merge(self, parts: Sequence[Chunk]) -> Chunk:
        """One row per start and group."""
        groups = max(1, len(self._keys))
        # Starts fit in 41 bits until 2039 and in 42 until 2109, which leaves room for two million groups.
        keys = [part.start_ms * groups + part.group for part in parts]
        unique = np.unique(np.concatenate(keys)) if keys else np.empty(0, np.int64)
        moments, sketch = Moments(len(unique)), Sketch()
        extra = [aggregate.initialize(len(unique)) for aggregate in self._aggregates]
        for key, part in zip(keys, parts, strict=True):
            into = np.searchsorted(unique, key)
            moments.merge(into, part.moments)
            sketch.merge(into, part.sketch)
            for state, theirs, aggregate in zip(extra, part.extra, self._aggregates, strict=True):
                aggregate.merge(state, into, theirs)
        return Chunk(unique // groups, unique % groups, moments, sketch, extra)

    def _renumber(self) -> None:
        """Forget groups that have no panes any more, when there are many."""
        if len(self._keys) <= _SPARE_GROUPS and self._chunks:
            return
        used = np.unique(np.concatenate([chunk.group for chunk in self._chunks])) if self._chunks else np.empty(0, int)
        if len(self._keys) <= 2 * len(used) + _SPARE_GROUPS and self._chunks:
            return
        self._keys = [self._keys[code] for code in used.tolist()]
        self._codes = {key: code for code, key in enumerate(self._keys)}
        self._chunks = [
            Chunk(c.start_ms, np.searchsorted(used, c.group), c.moments, c.sketch, c.extra) for c in self._chunks
        ]

    @property
    def nbytes(self) -> int:
        """Memory of the panes, bytes."""
        return sum(chunk.moments.nbytes + chunk.sketch.nbytes for chunk in self._chunks)

    def snapshot(self) -> tuple[Any, ...]:
        """The by columns, the group keys, the panes as plain arrays."""
        self._chunks = [merged] if len(merged := self._merge(self._chunks)) else []
        extra = tuple((a.name, state.copy()) for a, state in zip(self._aggregates, merged.extra, strict=True))
        arrays = (merged.start_ms, merged.group, merged.moments.state(), merged.sketch.state(), extra)
        return (self.by, tuple(self._keys), arrays)

    def load(self, keys: tuple[GroupKey, ...], arrays: tuple[Any, ...]) -> None:
        """Go on from `snapshot()`."""
        self._keys = list(keys)
        self._codes = {key: code for code, key in enumerate(keys)}
        start_ms, group, moments, sketch, extra = arrays
        states = resumed(self._aggregates, extra, len(group))
        chunk = Chunk(start_ms, group, Moments.from_state(moments), Sketch.from_state(sketch), states)
        self._chunks = [chunk] if len(chunk) else []


def _windows_of(chunk: Chunk, window: WindowSpec, *, after_ms: int, until_ms: int) -> list[Chunk]:
    """The chunk's panes as parts of the windows that end in (after_ms, until_ms]: start_ms is then the window's."""
    if not len(chunk):
        return []
    size, hop = window.size_ms, window.hop_ms
    newest = chunk.start_ms // hop * hop
    # The k-th window before the newest one that holds a pane ends k hops earlier: only some k can be due.
    first = max(0, -((until_ms - size - int(newest.min())) // hop))
    last = min((size - 1) // hop, (int(newest.max()) + size - after_ms - 1) // hop)
    parts = []
    for k in range(first, last + 1):
        start = newest - k * hop
        end = start + size
        rows = np.flatnonzero((end > chunk.start_ms) & (end > after_ms) & (end <= until_ms))
        if len(rows):
            part = chunk.take(rows)
            parts.append(Chunk(start[rows], part.group, part.moments, part.sketch, part.extra))
    return parts
