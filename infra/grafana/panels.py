"""Panels in the house's look: what a chart shows is one SQL query, how it looks is said here, once."""

from collections.abc import Mapping, Sequence
from typing import Literal

from grafana_foundation_sdk.builders import (
    barchart,
    common,
    dashboard,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)

from infra.grafana.datasource import DATASOURCE, Sql
from infra.grafana.names import SENSOR_UID

Steps = Sequence[tuple[float | None, str]]
"""(from this value on, colour); the first has None."""

CALM: Steps = ((None, "green"),)
FEWER_IS_BETTER: Steps = ((None, "green"), (0.01, "yellow"), (0.1, "orange"), (0.25, "red"))
"""For shares of anomalies, of late or refused readings."""
MORE_IS_BETTER: Steps = ((None, "red"), (0.8, "orange"), (0.95, "yellow"), (0.99, "green"))
"""For completeness."""
QUALITY: Steps = ((None, "red"), (0.5, "orange"), (0.75, "yellow"), (0.9, "green"))
"""For precision, recall, F1."""

TO_SENSOR = f"/d/{SENSOR_UID}?var-sensor=${{__data.fields.sensor_id}}&${{__url_time_range}}"

SEVERITY_COLOURS = {"critical": "red", "warning": "orange", "info": "blue"}
Panel = stat.Panel | timeseries.Panel | table.Panel | barchart.Panel | statetimeline.Panel


def thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    """Colours by value."""
    found = [Threshold(value=value, color=colour) for value, colour in steps]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(found)


def colour(mode: FieldColorModeId, fixed: str = "") -> dashboard.FieldColor:
    """A way to choose colours."""
    made = dashboard.FieldColor().mode(mode)
    return made.fixed_color(fixed) if fixed else made


def number(
    title: str,
    sql: str,
    *,
    about: str,
    unit: str = "short",
    steps: Steps = CALM,
    reduce: Literal["lastNotNull", "sum", "mean", "max"] = "lastNotNull",
    history: bool = True,
    decimals: int | None = None,
    width: int = 4,
    height: int = 4,
) -> stat.Panel:
    """One number, with its history behind it when the query is a time series; a table gives a number per column.

    unit "string" shows texts.
    """
    shown = "/.*/" if unit == "string" else ""
    panel = (
        stat.Panel()
        .title(title)
        .description(about)
        .datasource(DATASOURCE)
        .with_target(Sql(sql, "timeseries" if history else "table"))
        .unit(unit)
        .thresholds(thresholds(steps))
        .color_scheme(colour(FieldColorModeId.THRESHOLDS))
        .reduce_options(common.ReduceDataOptions().calcs([reduce]).values(False).fields(shown))
        .graph_mode(kinds.BigValueGraphMode.AREA if history else kinds.BigValueGraphMode.NONE)
        .color_mode(kinds.BigValueColorMode.VALUE)
        .text_mode(kinds.BigValueTextMode.AUTO)
        .no_value("–")
        .span(width)
        .height(height)
    )
    return panel.decimals(decimals) if decimals is not None else panel


def colour_columns(panel: stat.Panel, colours: Mapping[str, str]) -> stat.Panel:
    """Each number of a panel its own colour, as long as it is not 0."""
    for name, its in colours.items():
        some = {"mode": "absolute", "steps": [{"value": None, "color": "green"}, {"value": 1, "color": its}]}
        panel = panel.override_by_name(name, [DynamicConfigValue("thresholds", some)])
    return panel


def lines(
    title: str,
    sql: str,
    *,
    about: str,
    unit: str = "short",
    steps: Steps | None = None,
    bars: bool = False,
    stacked: bool = False,
    legend: Literal["list", "table", "none"] = "list",
    low: float | None = None,
    high: float | None = None,
    points: bool = False,
    width: int = 12,
    height: int = 8,
) -> timeseries.Panel:
    """Values over time. A text column `series` names the lines. steps: drawn as dashed lines across."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(about)
        .datasource(DATASOURCE)
        .with_target(Sql(sql, "timeseries"))
        .unit(unit)
        .draw_style(kinds.GraphDrawStyle.BARS if bars else kinds.GraphDrawStyle.LINE)
        .line_width(0 if bars else 1)
        .fill_opacity(80 if bars else 30 if stacked else 6)
        .show_points(kinds.VisibilityMode.AUTO if points else kinds.VisibilityMode.NEVER)
        .line_interpolation(kinds.LineInterpolation.LINEAR)
        .span_nulls(False)
        .tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING))
        .legend(_legend(legend))
        .span(width)
        .height(height)
    )
    if " AS series" in sql:
        panel = panel.display_name("${__field.labels.series}")
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL).group("A"))
    if steps is not None:
        dashed = kinds.GraphThresholdsStyleMode.DASHED
        panel = panel.thresholds(thresholds(steps)).thresholds_style(common.GraphThresholdsStyleConfig().mode(dashed))
    if low is not None:
        panel = panel.min(low)
    return panel.max(high) if high is not None else panel


def band(panel: timeseries.Panel, low: str, high: str, middle: str) -> timeseries.Panel:
    """Draw the columns `low` to `high` as a band around `middle`."""
    quiet = [DynamicConfigValue("custom.lineWidth", 0), DynamicConfigValue("custom.hideFrom", _HIDDEN)]
    shade = [
        DynamicConfigValue("custom.fillBelowTo", low),
        DynamicConfigValue("custom.fillOpacity", 18),
        DynamicConfigValue("custom.lineWidth", 0),
        DynamicConfigValue("color", {"mode": "fixed", "fixedColor": "blue"}),
    ]
    strong = [
        DynamicConfigValue("custom.lineWidth", 2),
        DynamicConfigValue("color", {"mode": "fixed", "fixedColor": "blue"}),
    ]
    blue = [*quiet[:1], DynamicConfigValue("custom.fillOpacity", 0), shade[-1], quiet[1]]
    return panel.override_by_name(low, blue).override_by_name(high, shade).override_by_name(middle, strong)


_HIDDEN = {"legend": True, "tooltip": False, "viz": False}


def dots(panel: timeseries.Panel, column: str, named: str, colour_name: str = "red") -> timeseries.Panel:
    """Draw a column as dots only."""
    return panel.override_by_name(
        column,
        [
            DynamicConfigValue("custom.drawStyle", "points"),
            DynamicConfigValue("custom.showPoints", "always"),
            DynamicConfigValue("custom.pointSize", 7),
            DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour_name}),
            DynamicConfigValue("displayName", named),
        ],
    )


def fixed_colours(panel: timeseries.Panel, colours: Mapping[str, str]) -> timeseries.Panel:
    """Each series that is named its own colour."""
    for name, its in colours.items():
        panel = panel.override_by_name(name, [DynamicConfigValue("color", {"mode": "fixed", "fixedColor": its})])
    return panel


def rows(
    title: str,
    sql: str,
    *,
    about: str,
    units: Mapping[str, str] | None = None,
    gauges: Mapping[str, Steps] | None = None,
    cells: Mapping[str, Steps] | None = None,
    widths: Mapping[str, int] | None = None,
    link: bool = False,
    width: int = 12,
    height: int = 9,
) -> table.Panel:
    """A table. gauges: columns drawn as bars from 0 to 1; cells: columns whose background is coloured by their value.

    link: its column sensor_id leads to the sensor.
    """
    panel = (
        table.Panel()
        .title(title)
        .description(about)
        .datasource(DATASOURCE)
        .with_target(Sql(sql))
        .cell_height(kinds.TableCellHeight.SM)
        .show_header(True)
        .filterable(True)
        .no_value("–")
        .span(width)
        .height(height)
    )
    for name, unit in (units or {}).items():
        panel = panel.override_by_name(name, [DynamicConfigValue("unit", unit)])
    for name, steps in (gauges or {}).items():
        panel = panel.override_by_name(name, _coloured(steps, {"type": "gauge", "mode": "basic"}))
    for name, steps in (cells or {}).items():
        panel = panel.override_by_name(name, _coloured(steps, {"type": "color-background", "mode": "basic"}))
    for name, pixels in (widths or {}).items():
        panel = panel.override_by_name(name, [DynamicConfigValue("custom.width", pixels)])
    if link:
        to_sensor = [{"title": "Show this sensor", "url": TO_SENSOR}]
        panel = panel.override_by_name("sensor_id", [DynamicConfigValue("links", to_sensor)])
    if "severity" in sql:
        panel = panel.override_by_name("severity", [_severities(), *_coloured_text()])
    return panel


def matrix(
    title: str,
    sql: str,
    *,
    about: str,
    row: str,
    column: str,
    value: str,
    steps: Steps,
    width: int = 12,
    height: int = 9,
) -> table.Panel:
    """A coloured table of pairs: the query gives one row per pair."""
    pivot = {"rowField": row, "columnField": column, "valueField": value, "emptyValue": "null"}
    return (
        table.Panel()
        .title(title)
        .description(about)
        .datasource(DATASOURCE)
        .with_target(Sql(sql))
        .with_transformation(DataTransformerConfig(id_val="groupingToMatrix", options=pivot))
        .cell_height(kinds.TableCellHeight.SM)
        .decimals(2)
        .no_value("–")
        .override_by_field_type("number", _coloured(steps, {"type": "color-background", "mode": "basic"})[2:])
        .span(width)
        .height(height)
    )


def ranking(
    title: str,
    sql: str,
    *,
    about: str,
    name: str,
    unit: str = "short",
    steps: Steps = CALM,
    width: int = 12,
    height: int = 9,
) -> barchart.Panel:
    """One horizontal bar per row."""
    return (
        barchart.Panel()
        .title(title)
        .description(about)
        .datasource(DATASOURCE)
        .with_target(Sql(sql))
        .x_field(name)
        .unit(unit)
        .orientation(kinds.VizOrientation.HORIZONTAL)
        .show_value(kinds.VisibilityMode.AUTO)
        .bar_width(0.8)
        .fill_opacity(75)
        .thresholds(thresholds(steps))
        .color_scheme(colour(FieldColorModeId.THRESHOLDS))
        .legend(_legend("none"))
        .span(width)
        .height(height)
    )


def columns(
    title: str,
    sql: str,
    *,
    about: str,
    name: str,
    unit: str = "short",
    logarithmic: bool = False,
    width: int = 12,
    height: int = 9,
) -> barchart.Panel:
    """Vertical bars over the texts of the column `name`; one column of numbers per colour."""
    scale = kinds.ScaleDistribution.LOG if logarithmic else kinds.ScaleDistribution.LINEAR
    return (
        barchart.Panel()
        .title(title)
        .description(about)
        .datasource(DATASOURCE)
        .with_target(Sql(sql))
        .x_field(name)
        .unit(unit)
        .x_tick_label_spacing(100)
        .show_value(kinds.VisibilityMode.NEVER)
        .bar_width(0.95)
        .group_width(0.8)
        .fill_opacity(75)
        .color_scheme(colour(FieldColorModeId.PALETTE_CLASSIC))
        .scale_distribution(common.ScaleDistributionConfig().type(scale).log(10))
        .legend(_legend("list"))
        .span(width)
        .height(height)
    )


def stripes(
    title: str, sql: str, *, about: str, unit: str = "percentunit", steps: Steps, width: int = 24, height: int = 9
) -> statetimeline.Panel:
    """One stripe per series, coloured by its value over time."""
    return (
        statetimeline.Panel()
        .title(title)
        .description(about)
        .datasource(DATASOURCE)
        .with_target(Sql(sql, "timeseries"))
        .unit(unit)
        .decimals(1)
        .display_name("${__field.labels.series}")
        .thresholds(thresholds(steps))
        .color_scheme(colour(FieldColorModeId.THRESHOLDS))
        .show_value(kinds.VisibilityMode.NEVER)
        .merge_values(False)
        .row_height(0.85)
        .per_page(20)
        .line_width(0)
        .fill_opacity(85)
        .legend(_legend("none"))
        .tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.SINGLE))
        .span(width)
        .height(height)
    )


def _legend(shown: Literal["list", "table", "none"]) -> common.VizLegendOptions:
    mode = kinds.LegendDisplayMode.TABLE if shown == "table" else kinds.LegendDisplayMode.LIST
    place = kinds.LegendPlacement.RIGHT if shown == "table" else kinds.LegendPlacement.BOTTOM
    legend = common.VizLegendOptions().display_mode(mode).placement(place).show_legend(shown != "none")
    return legend.calcs(["lastNotNull", "max"] if shown == "table" else [])


def _coloured(steps: Steps, cell: Mapping[str, str]) -> list[DynamicConfigValue]:
    made = {"mode": "absolute", "steps": [{"value": value, "color": name} for value, name in steps]}
    return [
        DynamicConfigValue("unit", "percentunit"),
        DynamicConfigValue("decimals", 1),
        DynamicConfigValue("min", 0),
        DynamicConfigValue("max", 1),
        DynamicConfigValue("custom.cellOptions", dict(cell)),
        DynamicConfigValue("thresholds", made),
        DynamicConfigValue("color", {"mode": "thresholds"}),
    ]


def _severities() -> DynamicConfigValue:
    shown = {name: ValueMappingResult(color=its, index=at) for at, (name, its) in enumerate(SEVERITY_COLOURS.items())}
    return DynamicConfigValue("mappings", [ValueMap(options=shown)])


def _coloured_text() -> list[DynamicConfigValue]:
    return [DynamicConfigValue("custom.cellOptions", {"type": "color-text"}), DynamicConfigValue("custom.width", 90)]
