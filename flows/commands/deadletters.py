"""`streamgauge deadletters`: what was refused, and sending it once more."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from flows.commands.common import Invocation, wide_console
from flows.places import connection
from flows.production import known_registry
from flows.redrive import Judge, Judged, send
from flows.settings import SettingsError
from infra.clickhouse import dead_letters
from infra.clickhouse.client import connect
from infra.kafka.producer import Producer
from infra.simulate.runner import wall_clock_ms

app = typer.Typer(
    help="Payloads that were refused.\n\n**Example**: `streamgauge deadletters list`",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)

Reason = Annotated[str, typer.Option(help="Only those refused for this reason, such as `clock_ahead`.")]
Since = Annotated[str, typer.Option(help="Only those sent since then: 2026-01-31T08:00:00Z.")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many.")]
_SHOWN_WRONG = 10
_AT_ONCE = 200


class Line(msgspec.Struct, frozen=True):
    """A line of the file that `export` writes and `redrive` reads: where it was, and the payload, to be corrected."""

    place: str
    reason: str
    detail: str
    payload: str


@app.command("list")
def list_(context: typer.Context, reason: Reason = "", since: Since = "") -> None:
    """How many there are of each reason, and how many of them were sent once more.

    **Example**: `streamgauge deadletters list`
    """
    invocation: Invocation = context.obj
    with invocation.clickhouse() as address, connect(address) as client:
        found = dead_letters.groups(client, reason=reason, since_ms=_since_ms(since))
    if not found:
        typer.echo("no dead letters")
        return
    table = Table("reason", "count", "redriven", "topics", "first", "last", "for example")
    for one in found:
        times = (f"{time:%Y-%m-%d %H:%M:%S}" for time in (one.first, one.last))
        topics = ", ".join(one.topics)
        table.add_row(one.reason, f"{one.letters:,}", f"{one.redriven:,}", topics, *times, escape(one.example))
    wide_console().print(table)


@app.command("show")
def show(
    context: typer.Context,
    place: Annotated[str, typer.Argument(help="TOPIC/PARTITION/OFFSET/IDX of one; all when left out.")] = "",
    reason: Reason = "",
    since: Since = "",
    limit: Limit = 10,
) -> None:
    """Where they were, why they were refused, and what they held.

    **Example**: `streamgauge deadletters show --reason bad_json`
    """
    invocation: Invocation = context.obj
    console = wide_console()
    with invocation.clickhouse() as address, connect(address) as client:
        found = dead_letters.letters(
            client, reason=reason, since_ms=_since_ms(since), limit=limit, places=[place] if place else [], again=True
        )
    for one in found:
        console.print(f"[bold]{escape(one.place)}[/] {one.time} {one.reason}: {escape(one.detail)}", soft_wrap=True)
        rest = "" if one.whole else f" ... (of {one.payload_bytes:,} bytes; cut, or rendered as text)"
        console.print(f"  {one.payload}{rest}", markup=False, soft_wrap=True)
    if not found:
        typer.echo("none")


@app.command("export")
def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="To be written, one JSON object a line.")],
    reason: Reason = "",
    since: Since = "",
    limit: Limit = 100_000,
) -> None:
    """Write them to a file in which `payload` can be corrected, for `redrive FILE`.

    **Example**: `streamgauge deadletters export letters.jsonl --reason wrong_type`
    """
    invocation: Invocation = context.obj
    with invocation.clickhouse() as address, connect(address) as client:
        found = dead_letters.letters(client, reason=reason, since_ms=_since_ms(since), limit=limit)
    lines = [Line(one.place, one.reason, one.detail, one.payload) for one in found]
    file.write_bytes(msgspec.json.Encoder().encode_lines(lines))
    typer.echo(f"{len(lines):,} in {file}: correct `payload`, then `streamgauge deadletters redrive {file}`")


@app.command("redrive")
def redrive(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="Corrected payloads; as they were stored when left out.")] = None,
    reason: Reason = "",
    since: Since = "",
    limit: Limit = 100_000,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
) -> None:
    """Send what would be accepted now to the topic and partition it came from, and note that it was sent.

    Whether it would be is found by the flow's own decoder with the present configuration: a type configured meanwhile,
    a clock that has caught up, a payload corrected in a file of `export`. What was sent once is not sent again; only a
    kill between sending and noting it can make up to 200 be sent twice. Readings that arrive so late are stored with
    quality `late`; `streamgauge rebuild` puts them into their windows.

    **Examples**

    `streamgauge deadletters redrive --reason unknown_type --dry-run`

    `streamgauge deadletters redrive letters.jsonl`
    """
    invocation: Invocation = context.obj
    settings, now_ms = invocation.settings, wall_clock_ms()
    with invocation.clickhouse() as address, connect(address) as client:
        judge = Judge(settings, known_registry(settings, client), now_ms=now_ms)
        if file is None:
            found = dead_letters.letters(client, reason=reason, since_ms=_since_ms(since), limit=limit)
            judged = [judge.judge(one) for one in found]
        else:
            lines = _read(file)
            # A query travels in an address, which has its limits.
            places = list(lines)
            parts = [places[at : at + _AT_ONCE] for at in range(0, len(places), _AT_ONCE)]
            found = [one for some in parts for one in dead_letters.letters(client, limit=limit, places=some)][:limit]
            if others := len(lines) - len(found):
                typer.echo(f"{others:,} lines are left out: sent before, unknown, or beyond --limit", err=True)
            judged = [judge.judge(one, lines[one.place].payload.encode()) for one in found]
        accepted = [one for one in judged if not one.why]
        _say_refused([one for one in judged if one.why])
        if dry_run:
            typer.echo(f"{len(accepted):,} would be sent")
            return
        count = 0
        with Producer(connection(settings)) as producer:
            for places in send(producer, accepted, now_ms=now_ms):
                dead_letters.mark_redriven(client, places, now_ms=now_ms)
                count += len(places)
    typer.echo(f"{count:,} sent")


def _say_refused(refused: list[Judged]) -> None:
    for one in refused[:_SHOWN_WRONG]:
        typer.echo(f"not accepted: {one.letter.place}: {one.why}", err=True)
    if len(refused) > _SHOWN_WRONG:
        typer.echo(f"not accepted: {len(refused) - _SHOWN_WRONG:,} more", err=True)


def _read(file: Path) -> dict[str, Line]:
    try:
        lines = msgspec.json.Decoder(Line).decode_lines(file.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise SettingsError(f"{file}: {error}; `streamgauge deadletters export FILE` writes such a file") from None
    return {line.place: line for line in lines}


def _since_ms(text: str) -> int:
    if not text:
        return 0
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise typer.BadParameter(
            'must be a time with its offset from UTC, "2026-01-31T08:00:00Z"', param_hint="--since"
        )
    return round(time.timestamp() * 1000)
