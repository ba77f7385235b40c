"""Windows from panes: the step where partitions meet.

A window shard holds the panes of its groups. When the smallest watermark over all sensor shards reaches a window's end,
the window is closed, once: its panes are merged and become rows. Nothing here looks at a clock.
"""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from operators.aggregates import Aggregate
from operators.batches import ColumnData, Floats, Ints, Maps, Rows
from operators.clock import NEVER
from operators.intake import NO_WATERMARK
from operators.moments import Moments
from operators.panes import NOT_COARSE, GroupKey, PaneMessage, Partials, WindowSpec, resumed
from operators.sketch import Sketch

STATE_VERSION = 1
GROUP_COLUMNS = ("sensor_type", "location", "asset_id", "unit", "sensor_id", "topic")


@dataclass(slots=True)
class _Pane:
    """One pane of one `by` set: rows of groups, several per group until it is compacted."""

    groups: Ints
    moments: Moments
    sketch: Sketch
    extra: list[Floats]


class WindowShard:
    """Closes the windows of the groups that hash to it.

    sources: every sensor shard that will report; nothing closes before all have.
    """

    def __init__(
        self,
        *,
        windows: Sequence[WindowSpec],
        sources: Iterable[str],
        generation: int = 0,
        aggregates: Sequence[Aggregate] = (),
    ) -> None:
        self._aggregates = tuple(aggregates)
        self._generation = generation
        self._watermarks = dict.fromkeys(sources, NO_WATERMARK)
        self._origins = dict.fromkeys(self._watermarks, NEVER)
        self._closed_ms = NO_WATERMARK
        self._since: dict[WindowSpec, int] = dict.fromkeys(windows, NO_WATERMARK)
        self._coarse = NOT_COARSE
        self._by: dict[tuple[str, ...], _ByPanes] = {}
        for window in windows:
            panes = self._by.setdefault(window.by, _ByPanes(window.by, self._aggregates))
            panes.windows.append(window)

    def on_messages(self, messages: Iterable[PaneMessage]) -> list[Rows]:
        """Take in closed panes; give out rows of the windows that close by them."""
        for message in messages:
            if message.source not in self._watermarks:
                continue  # a shard that is gone since the state was made; its panes were counted already
            for partials in message.partials:
                if partials.by in self._by:
                    self._by[partials.by].add(partials)
            self._watermarks[message.source] = message.watermark_ms
            self._origins[message.source] = message.origin_ms
            length_ms, until_ms = message.coarse
            self._coarse = (max(self._coarse[0], length_ms), max(self._coarse[1], until_ms))
        return self._advance(min(self._watermarks.values(), default=NO_WATERMARK))

    def _advance(self, watermark_ms: int) -> list[Rows]:
        if watermark_ms <= self._closed_ms:
            return []
        rows = []
        for panes in self._by.values():
            for window in panes.windows:
                for start_ms in panes.due(window, self._closed_ms, watermark_ms):
                    rows.append(self._row(panes, window, start_ms))
            panes.forget(watermark_ms)
        self._closed_ms = watermark_ms
        return rows

    def close_all(self) -> list[Rows]:
        """Close every window that has readings, ended or not: for the end of a bounded input."""
        ends = [panes.last_end() for panes in self._by.values()]
        return self._advance(max(ends, default=NO_WATERMARK))

    def _complete(self, window: WindowSpec, start_ms: int) -> bool:
        """Whether the flow has seen the whole window, and all its panes lie within it."""
        if start_ms < max(min(self._origins.values()), self._since[window]):
            return False
        length_ms, until_ms = self._coarse
        return start_ms >= until_ms or not (window.size_ms % length_ms or window.hop_ms % length_ms)

    def _row(self, panes: "_ByPanes", window: WindowSpec, start_ms: int) -> Rows:
        merged = panes.merged(start_ms, start_ms + window.size_ms)
        n = len(merged.groups)
        finished = merged.moments.finish()
        count, expected = finished["count"], finished["expected_count"]
        with np.errstate(divide="ignore", invalid="ignore"):
            completeness = np.where(expected > 0, np.minimum(1.0, count / expected), np.nan)
        columns: dict[str, ColumnData] = dict(finished)
        for place, name in enumerate(window.by):
            columns[name] = [panes.keys[group][place] for group in merged.groups.tolist()]
        columns |= {
            "window": window.name,
            "generation": self._generation,
            "start": np.full(n, start_ms),
            "end": np.full(n, start_ms + window.size_ms),
            "size_ms": window.size_ms,
            "hop_ms": window.hop_ms,
            "p50": merged.sketch.quantile(n, 0.5),
            "p95": merged.sketch.quantile(n, 0.95),
            "completeness": completeness,
            "complete": np.full(n, self._complete(window, start_ms)),
        }
        if self._aggregates:
            results = [a.result(state) for a, state in zip(self._aggregates, merged.extra, strict=True)]
            columns["extra"] = Maps(tuple(a.name for a in self._aggregates), np.stack(results, axis=1))
        return Rows("windows", n, columns)

    @property
    def nbytes(self) -> int:
        """Memory of the panes, bytes."""
        return sum(panes.nbytes for panes in self._by.values())

    def snapshot(self) -> tuple[Any, ...]:
        """Plain values and arrays."""
        times = (tuple(self._watermarks.items()), tuple(self._origins.items()), self._closed_ms)
        since = tuple((astuple(window), since_ms) for window, since_ms in self._since.items())
        return (STATE_VERSION, times, since, self._coarse, tuple(p.snapshot() for p in self._by.values()))

    def load(self, state: tuple[Any, ...]) -> None:
        """Go on from `snapshot()`. A window that was not there then, or another, starts with incomplete results."""
        _, (watermarks, origins, self._closed_ms), since, self._coarse, panes = state
        self._watermarks.update((source, at) for source, at in watermarks if source in self._watermarks)
        self._origins.update((source, at) for source, at in origins if source in self._origins)
        known = dict(since)
        # Panes before a sensor shard's watermark were made for the windows there were then.
        fresh_ms = max([self._closed_ms, *(at for _, at in watermarks)])
        for window in self._since:
            self._since[window] = known.get(astuple(window), fresh_ms)
        for by, keys, stored in panes:
            if by in self._by:
                self._by[by].load(keys, stored)


class _ByPanes:
    """The panes of one `by` set, and the windows made of them."""

    def __init__(self, by: tuple[str, ...], aggregates: Sequence[Aggregate]) -> None:
        self.by = by
        self.windows: list[WindowSpec] = []
        self.keys: list[GroupKey] = []
        self._aggregates = aggregates
        self._codes: dict[GroupKey, int] = {}
        self._panes: dict[int, list[_Pane]] = {}

    def add(self, partials: Partials) -> None:
        """Keep the partials, by pane."""
        groups = np.array([self._code(key) for key in partials.keys], np.int64)
        starts = np.unique(partials.start_ms)
        for start_ms in starts.tolist():
            mine = np.flatnonzero(partials.start_ms == start_ms)
            pane = _Pane(
                groups[mine],
                partials.moments.select(mine),
                partials.sketch.select(mine),
                [state[mine] for state in partials.extra],
            )
            self._panes.setdefault(start_ms, []).append(pane)

    def _code(self, key: GroupKey) -> int:
        code = self._codes.setdefault(key, len(self.keys))
        if code == len(self.keys):
            self.keys.append(key)
        return code

    def due(self, window: WindowSpec, after_ms: int, until_ms: int) -> list[int]:
        """Starts of windows with any pane that end in (after_ms, until_ms], earliest first."""
        size, hop = window.size_ms, window.hop_ms
        starts: set[int] = set()
        for pane_ms in self._panes:
            last = pane_ms // hop * hop
            starts.update(range(last, pane_ms - size, -hop))
        return sorted(start for start in starts if after_ms < start + size <= until_ms)

    def merged(self, start_ms: int, end_ms: int) -> _Pane:
        """The panes in [start_ms, end_ms) as one, a row per group in the order of their numbers."""
        parts = []
        for pane_ms in sorted(pane for pane in self._panes if start_ms <= pane < end_ms):
            if len(self._panes[pane_ms]) > 1:
                self._panes[pane_ms] = [self._merge(self._panes[pane_ms])]
            parts.append(self._panes[pane_ms][0])
        return self._merge(parts)

    def _merge(self, parts: list[_Pane]) -> _Pane:
        groups = np.unique(np.concatenate([part.groups for part in parts]))
        moments, sketch = Moments(len(groups)), Sketch()
        extra = [aggregate.initialize(len(groups)) for aggregate in self._aggregates]
        for part in parts:
            into = np.searchsorted(groups, part.groups)
            moments.merge(into, part.moments)
            sketch.merge(into, part.sketch)
            for state, theirs, aggregate in zip(extra, part.extra, self._aggregates, strict=True):
                aggregate.merge(state, into, theirs)
        return _Pane(groups, moments, sketch, extra)

    def forget(self, watermark_ms: int) -> None:
        """Drop panes whose last window has closed."""
        for pane_ms in list(self._panes):
            if all(pane_ms // w.hop_ms * w.hop_ms + w.size_ms <= watermark_ms for w in self.windows):
                del self._panes[pane_ms]
        if not self._panes:
            self.keys, self._codes = [], {}

    def last_end(self) -> int:
        """The end of the last window that any pane is in."""
        ends = [pane // w.hop_ms * w.hop_ms + w.size_ms for pane in self._panes for w in self.windows]
        return max(ends, default=NO_WATERMARK)

    @property
    def nbytes(self) -> int:
        """Memory of the panes, bytes."""
        return sum(part.moments.nbytes + part.sketch.nbytes for parts in self._panes.values() for part in parts)

    def snapshot(self) -> tuple[Any, ...]:
        """The by columns, the group keys, the panes as plain arrays."""
        panes = []
        for start_ms, parts in self._panes.items():
            one = parts[0] if len(parts) == 1 else self._merge(parts)
            self._panes[start_ms] = [one]
            extra = tuple((a.name, state.copy()) for a, state in zip(self._aggregates, one.extra, strict=True))
            panes.append((start_ms, one.groups, one.moments.state(), one.sketch.state(), extra))
        return (self.by, tuple(self.keys), tuple(panes))

    def load(self, keys: tuple[GroupKey, ...], panes: tuple[Any, ...]) -> None:
        """Go on from `snapshot()`."""
        self.keys = list(keys)
        self._codes = {key: code for code, key in enumerate(keys)}
        for start_ms, groups, moments, sketch, extra in panes:
            states = resumed(self._aggregates, extra, len(groups))
            self._panes[start_ms] = [_Pane(groups, Moments.from_state(moments), Sketch.from_state(sketch), states)]
