"""`streamgauge alerts`: what is open, why, and what people do about it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from flows.commands.common import Invocation, duration_ms, user_name, wide_console
from infra.clickhouse import alerts
from infra.clickhouse.alerts import LABELS, Action, Row
from infra.clickhouse.client import Client, connect
from infra.simulate.runner import wall_clock_ms
from operators.alert_rows import length_text

app = typer.Typer(
    help="What is open and why; acknowledge, silence, plan maintenance.\n\n**Example**: `streamgauge alerts list`",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)

_COLORS = {"critical": "red", "warning": "yellow", "info": "blue"}

AlertId = Annotated[str, typer.Argument(metavar="ALERT", help="Its id, or how that begins.")]
Matching = Annotated[
    list[str] | None,
    typer.Option(
        "--match", "-m", metavar="LABEL=VALUE", help=f"Only with this label: {', '.join(LABELS)}; repeatable."
    ),
]
Until = Annotated[str, typer.Option(help="Until then: 2026-01-31T08:00:00Z.")]
For = Annotated[str, typer.Option("--for", help="For so long: 2h.")]
Comment = Annotated[str, typer.Option(help="Why.")]
By = Annotated[str, typer.Option(help="Who.", show_default="you")]


@app.command("list")
def list_(
    context: typer.Context,
    match: Matching = None,
    every: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 100,
) -> None:
    """What is open, newest first.

    Status: open, acknowledged, silenced (by people), inhibited (a larger alert says it), resolved.

    **Example**: `streamgauge alerts list --match location=hall-2 --all`
    """
    with _client(context) as client:
        found = alerts.current(client, matching=_labels(match), resolved=every, limit=limit)
    if not found:
        typer.echo("no alerts" if every else "no open alerts")
        return
    table = Table("alert", "status", "severity", "since", "lasts", "reason")
    now_ms = wall_clock_ms()
    for row in found:
        severity = f"[{_COLORS.get(row['severity'], 'default')}]{row['severity']}[/]"
        table.add_row(
            row["alert_id"],
            row["status"],
            severity,
            _time(row["started_at"]),
            _lasts(row, now_ms),
            escape(row["reason"]),
        )
    wide_console().print(table)


@app.command("show")
def show(context: typer.Context, alert: AlertId) -> None:
    """All that is known of one: the readings behind it, each detector's word, what people did.

    **Example**: `streamgauge alerts show 3ab1bcca4c91b6dd`
    """
    console = wide_console()
    with _client(context) as client:
        row = _one(client, alert)
        actions = alerts.actions_on(client, row["alert_id"])
    console.print(f"[bold]{escape(row['reason'])}[/]", soft_wrap=True)
    labels = {name: row[name] for name in LABELS if row[name]}
    lines = {
        "alert": row["alert_id"],
        "status": row["status"] + (f" by {row['inhibited_by']}" if row["status"] == "inhibited" else ""),
        "labels": ", ".join(f"{name}={value}" for name, value in labels.items()),
        "since": f"{_time(row['started_at'])}, fired {_time(row['fired_at'])}",
        "until": "" if row["ended_at"] is None else _time(row["ended_at"]),
    }
    for name, text in lines.items():
        if text:
            console.print(f"  {name:<8}{escape(text)}", soft_wrap=True)
    for one in actions:
        said = f": {one['comment']}" if one["comment"] else ""
        text = f"{one['action']} by {one['actor']} at {_time(one['at'])}{said}"
        console.print(f"  {'people':<8}{escape(text)}", soft_wrap=True)
    behind = json.loads(row["evidence"] or "{}")
    if behind.get("peak") == behind.get("first"):
        behind.pop("peak", None)
    for name, evidence in behind.items():
        console.print(f"  [bold]{name}[/]", soft_wrap=True)
        for line in _told(evidence):
            console.print(f"    {escape(line)}", soft_wrap=True)


@app.command("ack")
def ack(context: typer.Context, alert: AlertId, comment: Comment = "", by: By = "") -> None:
    """Say that somebody has it in hand.

    **Example**: `streamgauge alerts ack 3ab1bcca4c91b6dd --comment "on my way"`
    """
    with _client(context) as client:
        row = _one(client, alert)
        action = Action(
            action="ack", at_ms=wall_clock_ms(), actor=by or user_name(), alert_id=row["alert_id"], comment=comment
        )
        alerts.store(client, [action])
    typer.echo(f"acknowledged: {row['reason']}")


@app.command("silence")
def silence(
    context: typer.Context,
    alert: Annotated[str, typer.Argument(metavar="ALERT", help="One alert; else --match.")] = "",
    match: Matching = None,
    until: Until = "",
    for_: For = "",
    comment: Comment = "",
    by: By = "",
) -> None:
    """Let nobody be told of one alert, or of all with certain labels, for a while.

    **Examples**

    `streamgauge alerts silence 3ab1bcca4c91b6dd --for 2h`

    `streamgauge alerts silence --match location=hall-2 --match severity=warning --until 2026-12-01T06:00:00Z`
    """
    now_ms = wall_clock_ms()
    _store_silence(context, "silence", alert, match, None, _end_ms(until, for_, now_ms), comment, by)


@app.command("maintenance")
def maintenance(
    context: typer.Context,
    match: Matching = None,
    from_: Annotated[str, typer.Option("--from", help="From then on: 2026-01-31T06:00:00Z.")] = "",
    until: Until = "",
    for_: For = "",
    comment: Comment = "",
    by: By = "",
) -> None:
    """Plan a silence ahead, of all alerts with certain labels.

    **Example**: `streamgauge alerts maintenance -m location=hall-2 --from 2026-12-01T06:00:00Z --for 4h`
    """
    since_ms = _moment_ms(from_, "--from")
    _store_silence(context, "maintenance", "", match, since_ms, _end_ms(until, for_, since_ms), comment, by)


@app.command("unsilence")
def unsilence(
    context: typer.Context,
    alert: Annotated[str, typer.Argument(metavar="ALERT", help="One alert; else --match.")] = "",
    match: Matching = None,
    comment: Comment = "",
    by: By = "",
) -> None:
    """Lift all silences and maintenance of one alert, or of exactly these labels.

    **Example**: `streamgauge alerts unsilence --match location=hall-2`
    """
    with _client(context) as client:
        alert_id, labels = _about(client, alert, match)
        lifted = [
            one
            for one in alerts.silences(client, ended=False)
            if (one["alert_id"], one["matchers"]) == (alert_id, alerts.matchers_text(labels))
        ]
        if not lifted:
            raise typer.BadParameter("there is no such silence; `streamgauge alerts silences` lists them")
        action = Action(
            action="unsilence",
            at_ms=wall_clock_ms(),
            actor=by or user_name(),
            alert_id=alert_id,
            matchers=labels,
            comment=comment,
        )
        alerts.store(client, [action])
    typer.echo(f"lifted: {len(lifted)}")


@app.command("silences")
def silences(
    context: typer.Context, every: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False
) -> None:
    """Silences and maintenance, active and planned.

    **Example**: `streamgauge alerts silences`
    """
    with _client(context) as client:
        found = alerts.silences(client, ended=every)
    if not found:
        typer.echo("no silences")
        return
    table = Table("state", "what", "of", "from", "until", "by", "why")
    for row in found:
        of = row["alert_id"] or ", ".join(f"{name}={value}" for name, value in json.loads(row["matchers"]).items())
        until = "for good" if row["until"] is None else _time(row["until"])
        table.add_row(
            row["state"],
            row["action"],
            escape(of),
            _time(row["since"]),
            until,
            escape(row["actor"]),
            escape(row["comment"]),
        )
    wide_console().print(table)


@app.command("test")
def test(
    context: typer.Context, channel: Annotated[str, typer.Argument(help="Its name in [[notify.channels]].")]
) -> None:
    """Tell a channel of a made-up alert, and say what came of it.

    **Example**: `streamgauge alerts test on-call`
    """
    from flows import notifier
    from infra.notify.message import NotTold

    invocation: Invocation = context.obj
    channels = {one.name: one for one in invocation.settings.notify.channels}
    if channel not in channels:
        raise typer.BadParameter(f"no channel {channel!r}; there are {', '.join(channels) or 'none'}")
    try:
        notifier.test(invocation.settings, channels[channel])
    except NotTold as problem:
        typer.echo(f"error {channel}: {problem}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"told {channel}")


@contextmanager
def _client(context: typer.Context) -> Iterator[Client]:
    invocation: Invocation = context.obj
    with invocation.clickhouse() as address, connect(address) as client:
        yield client


def _store_silence(
    context: typer.Context,
    action: Any,
    alert: str,
    match: list[str] | None,
    since_ms: int | None,
    until_ms: int,
    comment: str,
    by: str,
) -> None:
    with _client(context) as client:
        alert_id, labels = _about(client, alert, match)
        alerts.store(
            client,
            [
                Action(
                    action=action,
                    at_ms=wall_clock_ms(),
                    actor=by or user_name(),
                    alert_id=alert_id,
                    matchers=labels,
                    since_ms=since_ms,
                    until_ms=until_ms,
                    comment=comment,
                )
            ],
        )
    until = f"{datetime.fromtimestamp(until_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    typer.echo(f"silenced until {until}: {alert_id or ', '.join(f'{k}={v}' for k, v in labels.items())}")


def _about(client: Client, alert: str, match: list[str] | None) -> tuple[str, Mapping[str, str]]:
    """One alert or labels, not both, not neither."""
    if bool(alert) == bool(match):
        raise typer.BadParameter("name one alert, or labels with --match LABEL=VALUE")
    return (_one(client, alert)["alert_id"], {}) if alert else ("", _labels(match))


def _one(client: Client, beginning: str) -> Row:
    found = alerts.named(client, beginning)
    exact = [row for row in found if row["alert_id"] == beginning] or found
    if len(exact) == 1:
        return exact[0]
    problem = "no alert has this id" if not exact else f"several alerts: {', '.join(row['alert_id'] for row in exact)}"
    raise typer.BadParameter(f"{beginning!r}: {problem}; `streamgauge alerts list --all` lists them")


def _labels(match: list[str] | None) -> dict[str, str]:
    found = {}
    for text in match or ():
        name, equals, value = text.partition("=")
        if not equals or name not in LABELS:
            raise typer.BadParameter(f"{text!r}: LABEL=VALUE, a label of {', '.join(LABELS)}", param_hint="--match")
        found[name] = value
    return found


def _end_ms(until: str, for_: str, begin_ms: int) -> int:
    if bool(until) == bool(for_):
        raise typer.BadParameter("say how long: --for 2h, or --until 2026-01-31T08:00:00Z")
    end_ms = _moment_ms(until, "--until") if until else begin_ms + duration_ms(for_, "--for")
    if end_ms <= begin_ms:
        raise typer.BadParameter("must end after it begins", param_hint="--until" if until else "--for")
    return end_ms


def _moment_ms(text: str, option: str) -> int:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise typer.BadParameter('must be a time with its offset from UTC, "2026-01-31T08:00:00Z"', param_hint=option)
    return round(time.timestamp() * 1000)


def _time(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}"


def _lasts(row: Row, now_ms: int) -> str:
    end_ms = now_ms if row["ended_at"] is None else round(row["ended_at"].timestamp() * 1000)
    return length_text(max(0, end_ms - round(row["started_at"].timestamp() * 1000)))


def _told(evidence: Any) -> Iterator[str]:
    """What is behind an alert as lines: numbers by name, one reading or one sensor a line."""
    if isinstance(evidence, list):
        for one in evidence:
            yield ", ".join(_pair(name, value) for name, value in one.items())
    elif isinstance(evidence, dict):
        yield ", ".join(_pair(name, value) for name, value in evidence.items() if not isinstance(value, dict))
        for name, values in evidence.items():
            if isinstance(values, dict) and values:
                yield f"{name}: " + ", ".join(f"{one} {value}" for one, value in values.items())
    else:
        yield str(evidence)


def _pair(name: str, value: Any) -> str:
    if name in ("time", "since", "start", "end", "last_reading") and isinstance(value, int):
        return f"{name} {datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
    return f"{name} {', '.join(map(str, value)) if isinstance(value, list) else value}"
