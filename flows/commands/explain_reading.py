"""`streamgauge explain-reading`: what made the verdict on one reading."""

import math
from datetime import UTC, datetime, tzinfo
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.commands.common import Invocation, wide_console
from flows.explain_reading import Explanation, explain
from flows.settings import Settings
from infra.simulate import cells
from infra.simulate.mapping import ColumnMapping
from operators.records import RULES

_RANGE, _STUCK = RULES
_TABLE: dict[str, Any] = {"header_style": "bold", "box": None, "pad_edge": False, "title_justify": "left"}


def explain_reading(
    context: typer.Context,
    sensor: Annotated[str, typer.Argument(help="Its sensor_id.")],
    time: Annotated[str, typer.Argument(help="2026-01-31T12:00:00Z, or epoch seconds or milliseconds.")],
    zone: Annotated[str, typer.Option(help="Time zone of TIME, when it names none, and of the answer.")] = "UTC",
) -> None:
    """Show what made the verdict on the sensor's reading nearest to TIME: detectors, features, neighbours.

    **Example**: `streamgauge explain-reading pump-7 "2026-01-31 12:00:00" --zone Europe/Berlin`
    """
    invocation: Invocation = context.obj
    place = ColumnMapping(zone=zone).tzinfo()
    try:
        time_ms = cells.epoch_ms(time, place)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="TIME") from None
    with invocation.clickhouse() as address:
        found = explain(invocation.settings, address, sensor_id=sensor, time_ms=time_ms)
    console = wide_console()
    _say_reading(console, found, place)
    console.print(_detectors(found, invocation.settings))
    console.print(_features(found))
    console.print(_around(found, place))


def _say_reading(console: Console, found: Explanation, zone: tzinfo) -> None:
    reading = found.stored.reading
    unit = f" {reading['unit']}" if reading["unit"] else ""
    console.print(
        f"[bold]{escape(reading['sensor_id'])}[/] at {_time(reading['time'], zone)}: "
        f"[bold]{_number(reading['value'])}{escape(unit)}[/], {_away(found.stored.away_ms)}",
        soft_wrap=True,
    )
    lines = {"verdict": _verdict(reading), "score": _number(reading["score"], unknown="unknown: models warm up")}
    if reading["score"] == 0:
        lines["score"] += ", no news: not strange, or no stranger than lately"
    if reading.get("expected") is not None:
        ends = f"{_number(reading['expected_low'])} to {_number(reading['expected_high'])}"
        lines["expected"] = f"{_number(reading['expected'])}, most likely {ends}"
    lines["quality"] = reading["quality"]
    lines["truth"] = reading["label"] or "not known"
    said = [f"{name} {reading[name]}" for name in ("sensor_type", "location", "asset_id") if reading[name]]
    lines["sensor"] = ", ".join(said) or "says nothing more of itself"
    if found.asset is not None:
        lines["asset"] = _asset(found.asset)
    lines["message"] = f"{reading['topic']}/{reading['partition']}, offset {reading['offset']}, index {reading['idx']}"
    if found.stored.twins:
        lines["beside it"] = f"{found.stored.twins} more at the same time; this is the first of them"
    table = Table(show_header=False, **_TABLE)
    for name, text in lines.items():
        table.add_row(f"[dim]{name}[/]", text if name == "verdict" else escape(text))
    console.print(table)


def _verdict(reading: dict[str, Any]) -> str:
    checks = [name for name in RULES if name in reading["flagged_by"]]
    reasons = ["the models together are in alarm"] if reading["model_anomaly"] else []
    reasons += [f"the rule {name} flags it" for name in checks]
    if reading["is_anomaly"]:
        return f"[bold red]anomaly[/]: {', '.join(reasons)}"
    return "[green]normal[/]" + (": rules that flag it do not decide alone" if reading["rule_anomaly"] else "")


def _asset(row: dict[str, Any]) -> str:
    deviating = sorted(row["shares"].items(), key=lambda item: -item[1])
    most = f"; most deviate {', '.join(f'{name} ({share:.0%})' for name, share in deviating)}" if deviating else ""
    state = "in alarm" if row["is_anomaly"] else "normal"
    return (
        f"{row['asset_id'] or row['location']} {state}, score {_number(row['score'])} by {row['sensors']} sensors{most}"
    )


def _detectors(found: Explanation, settings: Settings) -> Table:
    """The models first, in their configured order; then rules."""
    table = Table("detector", "role", title="\nwhat each said", **_TABLE)
    for heading in ("raw score", "surprise", "flags from"):
        table.add_column(heading, justify="right")
    table.add_column("flagged")
    table.add_column("model")
    configured = {one.name: one for one in settings.detectors}
    order = {name: place for place, name in enumerate((*configured, *RULES))}
    said = {row["detector"]: row for row in found.stored.detectors}
    nothing: dict[str, Any] = {"raw_score": math.nan, "surprise": math.nan, "flagged": False, "model_version": ""}
    for name in sorted(said.keys() | set(RULES), key=lambda name: (order.get(name, len(order)), name)):
        row, one = said.get(name, nothing), configured.get(name)
        table.add_row(
            escape(name),
            "rule" if name in RULES else one.role if one else "not configured now",
            _number(row["raw_score"]),
            _number(row["surprise"]),
            _flags_from(name, found, settings),
            "[red]yes[/]" if row["flagged"] else "no",
            escape(row["model_version"]),
        )
    return table


def _flags_from(name: str, found: Explanation, settings: Settings) -> str:
    if name == _STUCK:
        return f"one value for {settings.quality.stuck_after}"
    if name == _RANGE:
        low, high = (_number(limit, unknown="-") for limit in (found.low, found.high))
        return "no limits" if low == high == "-" else f"below {low}, above {high}"
    one = next((one for one in settings.detectors if one.name == name), None)
    if one is None:
        return "-"
    return f"surprise {found.threshold:.2f}" if one.threshold is None else f"raw {_number(one.threshold)}"


def _features(found: Explanation) -> Table:
    table = Table("feature", title="\nits features, from the readings before it", **_TABLE)
    table.add_column("value", justify="right")
    table.add_column("unit")
    table.add_column("meaning", style="dim")
    for one in found.features:
        table.add_row(escape(one.name), _number(one.value, unknown="unknown"), escape(one.unit), one.meaning)
    return table


def _around(found: Explanation, zone: tzinfo) -> Table:
    table = Table("", "time", title="\naround it", **_TABLE)
    for heading in ("value", "expected", "score"):
        table.add_column(heading, justify="right")
    for heading in ("verdict", "flagged by", "quality", "truth"):
        table.add_column(heading)
    reading = found.stored.reading
    for row in found.around:
        itself = all(row[name] == reading[name] for name in ("time", "topic", "partition", "offset", "idx"))
        expected = row.get("expected")
        table.add_row(
            "→" if itself else "",
            _time(row["time"], zone),
            _number(row["value"]),
            "-" if expected is None else _number(expected),
            _number(row["score"]),
            "[red]anomaly[/]" if row["is_anomaly"] else "normal",
            escape(", ".join(row["flagged_by"])),
            row["quality"],
            escape(row["label"]),
            style="bold" if itself else "",
        )
    return table


def _away(away_ms: int) -> str:
    if not away_ms:
        return "the time asked for"
    seconds = abs(away_ms) / 1000
    size, unit = next((size, unit) for size, unit in ((3600, "h"), (60, "min"), (0, "s")) if seconds >= size)
    return f"{seconds / (size or 1):.4g} {unit} {'after' if away_ms > 0 else 'before'} the time asked for"


def _time(time: datetime, zone: tzinfo) -> str:
    moment = time.replace(tzinfo=time.tzinfo or UTC).astimezone(zone)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03} {moment.tzname()}"


def _number(number: float, *, unknown: str = "-") -> str:
    return unknown if math.isnan(number) else f"{number:.6g}"
