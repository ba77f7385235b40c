"""Windows from panes: the step where partitions meet.

A window shard holds the panes of its groups. When the smallest watermark over all sensor shards reaches a window's end,
the window is closed, once: its panes are merged and become rows. Nothing here looks at a clock.
"""

from collections.abc import Iterable, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np

from operators.aggregates import Aggregate
from operators.alerts import AlertShard
from operators.assets import AssetShard
from operators.batches import ColumnData, Flags, Ints, Maps, Rows
from operators.clock import NEVER
from operators.intake import NO_WATERMARK
from operators.pane_table import Chunk, PaneTable
from operators.panes import NOT_COARSE, PaneMessage, WindowSpec

STATE_VERSION = 2

WINDOW_NUMBERS = (
    *("count", "mean", "min", "max", "stddev", "first", "last", "p50", "p95"),
    *("anomaly_count", "expected_count", "completeness"),
)
"""Columns of a window's row that alerts can look at."""


class WindowShard:
    """Closes the windows of the groups that hash to it.

    sources: every sensor shard that will report; nothing closes before all have.
    assets: judges the assets that hash to it, by the same time; None for none. alerts: on all of them, and on groups.
    """

    def __init__(
        self,
        *,
        windows: Sequence[WindowSpec],
        sources: Iterable[str],
        generation: int = 0,
        aggregates: Sequence[Aggregate] = (),
        assets: AssetShard | None = None,
        alerts: AlertShard | None = None,
    ) -> None:
        self._aggregates = tuple(aggregates)
        self._assets = assets
        self._alerts = alerts or AlertShard(())
        self._generation = generation
        self._watermarks = dict.fromkeys(sources, NO_WATERMARK)
        self._origins = dict.fromkeys(self._watermarks, NEVER)
        self._closed_ms = NO_WATERMARK
        self._since: dict[WindowSpec, int] = dict.fromkeys(windows, NO_WATERMARK)
        self._coarse = NOT_COARSE
        self._tables = {
            by: PaneTable(by, [window for window in windows if window.by == by], self._aggregates)
            for by in dict.fromkeys(window.by for window in windows)
        }

    def on_messages(self, messages: Iterable[PaneMessage]) -> list[Rows]:
        """Take in closed panes; give out rows of the windows that close by them."""
        for message in messages:
            if message.source not in self._watermarks:
                continue  # a shard that is gone since the state was made; its panes were counted already
            for partials in message.partials:
                if partials.by in self._tables:
                    self._tables[partials.by].add(partials)
            if message.ticks is not None and self._assets is not None:
                self._assets.add(message.source, message.ticks)
            self._alerts.add(message.news)
            self._watermarks[message.source] = message.watermark_ms
            self._origins[message.source] = message.origin_ms
            length_ms, until_ms = message.coarse
            self._coarse = (max(self._coarse[0], length_ms), max(self._coarse[1], until_ms))
        return self._advance(min(self._watermarks.values(), default=NO_WATERMARK))

    def _advance(self, watermark_ms: int) -> list[Rows]:
        if watermark_ms <= self._closed_ms:
            return []
        rows = []
        for table in self._tables.values():
            for window in table.windows:
                closed = table.close(window, after_ms=self._closed_ms, until_ms=watermark_ms)
                if len(closed):
                    rows.append(self._rows(table, window, closed))
            table.forget(watermark_ms)
        self._closed_ms = watermark_ms
        if self._assets is not None:
            rows += self._assets.judge(watermark_ms)
        return rows + self._alerts.judge(rows, watermark_ms)

    def close_all(self) -> list[Rows]:
        """Close every window that has readings, and judge every tick, ended or not: for the end of a bounded input."""
        rows = self._advance(max([table.last_end_ms() for table in self._tables.values()], default=NO_WATERMARK))
        verdicts = [] if self._assets is None else self._assets.judge(None)
        return rows + verdicts + self._alerts.judge(verdicts, None)

    def _complete(self, window: WindowSpec, start_ms: Ints) -> Flags:
        """Whether the flow has seen the whole window, and all its panes lie within it."""
        length_ms, until_ms = self._coarse
        whole = start_ms >= max(min(self._origins.values()), self._since[window])
        aligned = not (window.size_ms % length_ms or window.hop_ms % length_ms)
        return whole if aligned else whole & (start_ms >= until_ms)

    def _rows(self, table: PaneTable, window: WindowSpec, closed: Chunk) -> Rows:
        n = len(closed)
        finished = closed.moments.finish()
        count, expected = finished["count"], finished["expected_count"]
        with np.errstate(divide="ignore", invalid="ignore"):
            completeness = np.where(expected > 0, np.minimum(1.0, count / expected), np.nan)
        columns: dict[str, ColumnData] = dict(finished)
        columns |= table.labels(closed.group)
        columns |= {
            "window": window.name,
            "generation": self._generation,
            "start": closed.start_ms,
            "end": closed.start_ms + window.size_ms,
            "size_ms": window.size_ms,
            "hop_ms": window.hop_ms,
            "p50": np.clip(closed.sketch.quantile(n, 0.5), finished["min"], finished["max"]),
            "p95": np.clip(closed.sketch.quantile(n, 0.95), finished["min"], finished["max"]),
            "completeness": completeness,
            "complete": self._complete(window, closed.start_ms),
        }
        if self._aggregates:
            results = [a.result(state) for a, state in zip(self._aggregates, closed.extra, strict=True)]
            columns["extra"] = Maps(tuple(a.name for a in self._aggregates), np.stack(results, axis=1))
        return Rows("windows", n, columns)

    @property
    def nbytes(self) -> int:
        """Memory of panes, assets and alerts, bytes."""
        panes = sum(table.nbytes for table in self._tables.values())
        return panes + (0 if self._assets is None else self._assets.nbytes) + self._alerts.nbytes

    def snapshot(self) -> tuple[Any, ...]:
        """Plain values and arrays."""
        times = (tuple(self._watermarks.items()), tuple(self._origins.items()), self._closed_ms)
        since = tuple((astuple(window), since_ms) for window, since_ms in self._since.items())
        panes = tuple(table.snapshot() for table in self._tables.values())
        assets = None if self._assets is None else self._assets.snapshot()
        return (STATE_VERSION, times, since, self._coarse, panes, assets, self._alerts.snapshot())

    def load(self, state: tuple[Any, ...]) -> None:
        """Go on from `snapshot()`. A window that was not there then, or another, starts with incomplete results."""
        _, (watermarks, origins, self._closed_ms), since, self._coarse, panes, assets, alerts = state
        self._watermarks.update((source, at) for source, at in watermarks if source in self._watermarks)
        self._origins.update((source, at) for source, at in origins if source in self._origins)
        known = dict(since)
        # Panes before a sensor shard's watermark were made for the windows there were then.
        fresh_ms = max([self._closed_ms, *(at for _, at in watermarks)])
        for window in self._since:
            self._since[window] = known.get(astuple(window), fresh_ms)
        for by, keys, stored in panes:
            if by in self._tables:
                self._tables[by].load(keys, stored)
        if self._assets is not None and assets is not None:
            self._assets.load(assets)
        if alerts is not None:
            self._alerts.load(alerts)
