"""A backtest as a picture: values with what was expected, score, verdicts and ground truth over time.

matplotlib is an extra (`plot`) and imported only when a picture is drawn; without its global state.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from operators.batches import Flags, Floats, Ints

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PANELS = 8
_BINS = 1400
"""About the width of a panel in pixels; of what falls in one, the extremes are drawn."""
_GAP_STEPS = 10
"""A line is broken where this many usual distances lie between two readings."""

_ABOVE, _BELOW, _BETWEEN = 0.8, 0.52, 0.36
"""Room around panels, inches."""
_INK, _MUTED, _FAINT = "#22303c", "#6b7884", "#e4e8ec"
_VALUE, _BAND, _SCORE, _ALARM, _TRUTH = "#2f6690", "#5fb49c", "#4a4e69", "#d1344b", "#f0b429"


class PlotError(Exception):
    """The picture cannot be drawn; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One column over time, one entry per row. low, high: the interval expected; NaN while unknown."""

    name: str
    value: Floats
    is_anomaly: Flags
    expected: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn. Rows are in order of time_ms, epoch milliseconds.

    panels: columns; more than MAX_PANELS are left out, those with the fewest verdicts first.
    threshold: the score from which on there is an alarm; None when that does not depend on the score alone.
    truth: rows that are labelled anomalous; None when there are no labels.
    """

    title: str
    subtitle: str
    time_ms: Ints
    zone: tzinfo
    panels: Sequence[Panel]
    score: Floats
    threshold: float | None
    is_anomaly: Flags
    truth: Flags | None


def check_installed() -> None:
    """Raises PlotError without matplotlib."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise PlotError("a picture needs matplotlib: pip install 'streamgauge[plot]'") from None


def draw(picture: Picture, path: Path) -> None:
    """Write a PNG (or what the name's ending says: svg, pdf). Raises PlotError, also when it cannot be written."""
    check_installed()
    import matplotlib
    from matplotlib.figure import Figure

    panels = _chosen(picture.panels)
    with matplotlib.rc_context(_STYLE):
        heights = [3.0 if len(panels) == 1 else 0.95] * len(panels) + [0.95]
        height = _ABOVE + _BELOW + sum(heights) + len(panels) * _BETWEEN
        figure = Figure(figsize=(13, height), dpi=130)
        axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        for panel, axis in zip(panels, axes, strict=False):
            _draw_panel(axis, picture, panel)
        _draw_score(axes[-1], picture)
        _finish(figure, list(axes), picture)
        try:
            figure.savefig(path)
        except (OSError, ValueError) as error:
            raise PlotError(f"{path}: cannot be written: {error}") from None


_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.solid_joinstyle": "round",
    "svg.hashsalt": "streamgauge",  # the same picture twice is the same file
}


def _chosen(panels: Sequence[Panel]) -> list[Panel]:
    """At most MAX_PANELS, in their order."""
    busiest = sorted(panels, key=lambda panel: -int(np.count_nonzero(panel.is_anomaly)))[:MAX_PANELS]
    return [panel for panel in panels if panel in busiest] if len(panels) > MAX_PANELS else list(panels)


def _draw_panel(axis: "Axes", picture: Picture, panel: Panel) -> None:
    known = np.isfinite(panel.value)
    time_ms, value = picture.time_ms[known], panel.value[known]
    _draw_truth(axis, picture)
    band = np.isfinite(panel.low) & np.isfinite(panel.high)
    if band.any():
        at, (low, high) = _means(picture.time_ms[band], panel.low[band], panel.high[band])
        axis.fill_between(_dates(at), low, high, color=_BAND, alpha=0.3, linewidth=0, label="expected")
        for end in (low, high):  # above the values, which may fill the band
            axis.plot(_dates(at), end, color=_BAND, linewidth=0.7, zorder=3)
    at, drawn = thinned(time_ms, value)
    axis.plot(_dates(at), drawn, color=_VALUE, linewidth=0.9 if len(value) < _BINS else 0.6, label="value")
    flagged = panel.is_anomaly[known]
    at, marks = thinned(time_ms[flagged], value[flagged], broken=False)
    axis.plot(
        _dates(at),
        marks,
        ".",
        zorder=4,
        color=_ALARM,
        markersize=5.5,
        markeredgewidth=0,
        alpha=0.85,
        label="verdict: anomaly",
    )
    axis.set_title(panel.name, loc="left", fontsize=9, color=_INK, pad=3)
    if len(value):
        _show(axis, value, panel.low[band], panel.high[band])
    axis.locator_params(axis="y", nbins=4)


def _show(axis: "Axes", value: Floats, band_low: Floats, band_high: Floats) -> None:
    """The values fill most of the panel; a band that is far wider, while little is known, may leave it."""
    low, high = float(value.min()), float(value.max())
    reach = high - low or 0.1 * abs(high) or 1.0
    if len(band_low):
        low = max(min(low, float(np.quantile(band_low, 0.1))), low - 0.3 * reach)
        high = min(max(high, float(np.quantile(band_high, 0.9))), high + 0.3 * reach)
    axis.set_ylim(low - 0.08 * reach, high + 0.08 * reach)


def _draw_score(axis: "Axes", picture: Picture) -> None:
    known = np.isfinite(picture.score)
    _draw_truth(axis, picture)
    at, score = thinned(picture.time_ms[known], picture.score[known])
    axis.fill_between(_dates(at), 0, score, color=_SCORE, alpha=0.25, linewidth=0)
    axis.plot(_dates(at), score, color=_SCORE, linewidth=0.7, label="score")
    top = 1.08 * float(np.max(score[np.isfinite(score)], initial=1.0))
    if picture.threshold is not None:
        axis.axhline(picture.threshold, color=_ALARM, linewidth=0.9, linestyle=(0, (4, 3)), label="threshold")
        top = max(top, 1.25 * picture.threshold)
    axis.set_ylim(0, top)
    # A strip below the axis, so that verdicts are seen from afar; a single row shows as the ends of its stretch.
    dates = _dates(picture.time_ms)
    begin, end = _stretches(picture.is_anomaly).T
    below = axis.get_xaxis_transform()
    axis.hlines(
        np.full(len(begin), -0.06), dates[begin], dates[end - 1], _ALARM, linewidth=5, transform=below, clip_on=False
    )
    at = dates[np.concatenate([begin, end - 1])]
    style: Any = {"color": _ALARM, "markersize": 5, "markeredgewidth": 1.1, "clip_on": False}
    axis.plot(at, np.full(len(at), -0.06), "|", transform=below, **style)
    axis.set_title("score", loc="left", fontsize=9, color=_INK, pad=3)
    axis.locator_params(axis="y", nbins=4)
    axis.tick_params(axis="x", pad=11)


def _draw_truth(axis: "Axes", picture: Picture) -> None:
    if picture.truth is None or not picture.truth.any():
        return
    dates = _dates(picture.time_ms)
    for number, (begin, end) in enumerate(_stretches(picture.truth).tolist()):
        label = "labelled anomaly" if number == 0 else None
        axis.axvspan(dates[begin], dates[end - 1], color=_TRUTH, alpha=0.28, linewidth=0.8, label=label)


def _finish(figure: "Figure", axes: "list[Axes]", picture: Picture) -> None:
    import matplotlib.dates

    dates: Any = matplotlib.dates  # untyped
    locator = dates.AutoDateLocator(tz=picture.zone, minticks=5, maxticks=12)
    axes[-1].xaxis.set_major_locator(locator)
    axes[-1].xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=picture.zone))
    if len(picture.time_ms):
        first, last = picture.time_ms[[0, -1]].tolist()
        ends: Any = _dates(np.array([first, max(last, first + 1000)]))
        axes[-1].set_xlim(*ends)
    height = float(figure.get_figheight())
    between = _BETWEEN / ((height - _ABOVE - _BELOW - (len(axes) - 1) * _BETWEEN) / len(axes))
    figure.subplots_adjust(left=0.055, right=0.985, top=1 - _ABOVE / height, bottom=_BELOW / height, hspace=between)
    figure.text(0.055, 1 - 0.24 / height, picture.title, fontsize=12.5, fontweight="bold", va="center")
    figure.text(0.055, 1 - 0.45 / height, picture.subtitle, fontsize=9, color=_MUTED, va="center")
    entries = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(
        entries.values(),
        entries.keys(),
        loc="upper right",
        bbox_to_anchor=(0.99, 1 - 0.12 / height),
        ncols=len(entries),
        frameon=False,
        fontsize=8.5,
        handlelength=1.4,
        columnspacing=1.4,
    )


def _stretches(flags: Flags) -> Ints:
    """(k, 2): where each run of True begins, and the first place after it."""
    return np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)


def _dates(time_ms: Ints) -> "np.ndarray[tuple[int], np.dtype[np.datetime64]]":
    return time_ms.astype("datetime64[ms]")


def thinned(time_ms: Ints, value: Floats, *, broken: bool = True) -> tuple[Ints, Floats]:
    """Points in order of time -> few enough to draw: of each stretch as wide as a pixel the smallest and the largest.

    broken: put NaN where readings are missing.
    """
    if len(time_ms) > 2 * _BINS:
        starts = _starts(time_ms)
        extremes = [_extreme(value, starts, which) for which in (np.minimum, np.maximum)]
        chosen = np.unique(np.concatenate(extremes))
        time_ms, value = time_ms[chosen], value[chosen]
    gaps = _gaps(time_ms) if broken else np.empty(0, np.int64)
    return np.insert(time_ms, gaps, time_ms[gaps] - 1), np.insert(value, gaps, np.nan)


def _means(time_ms: Ints, *columns: Floats) -> tuple[Ints, list[Floats]]:
    """The same for smooth columns: of each stretch the mean."""
    if len(time_ms) > 2 * _BINS:
        starts = _starts(time_ms)
        count = np.diff(starts, append=len(time_ms))
        time_ms, columns = time_ms[starts], tuple(np.add.reduceat(column, starts) / count for column in columns)
    gaps = _gaps(time_ms)
    return np.insert(time_ms, gaps, time_ms[gaps] - 1), [np.insert(column, gaps, np.nan) for column in columns]


def _starts(time_ms: Ints) -> Ints:
    """Where each stretch as wide as a pixel begins."""
    width = max((int(time_ms[-1]) - int(time_ms[0])) // _BINS, 1)
    return np.flatnonzero(np.diff(time_ms // width, prepend=-1))


def _gaps(time_ms: Ints) -> Ints:
    """The points before which readings are missing."""
    steps = np.diff(time_ms)
    usual = float(np.median(steps)) if len(steps) else 0.0
    return np.flatnonzero(steps > _GAP_STEPS * max(usual, 1.0)) + 1


def _extreme(value: Floats, starts: Ints, which: "np.ufunc") -> Ints:
    """Of each stretch that begins at a start: the index of its first smallest or largest value."""
    extreme = np.repeat(which.reduceat(value, starts), np.diff(starts, append=len(value)))
    hits = np.flatnonzero(value == extreme)
    _, first = np.unique(np.searchsorted(starts, hits, side="right"), return_index=True)
    return hits[first]
