"""`streamgauge audit`: is everything that was read stored, and once?"""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from flows.commands.common import Invocation, duration_ms, wide_console
from flows.settings import Settings
from infra.clickhouse.audit import Audit, Finding, audit
from infra.clickhouse.client import ClickHouseError, Client, Outage, connect
from infra.clickhouse.events import Event, store
from infra.signals import stop_on_signals
from infra.simulate.runner import wall_clock_ms

logger = logging.getLogger(__name__)

_FRESH_S = 120
_AGAIN_S = 3.0
"""A count and the rows it counts may be stored a moment apart: what is missing is looked for once more."""


def audit_command(
    context: typer.Context,
    topic: Annotated[list[str] | None, typer.Option(help="Only this topic; may be given again.")] = None,
    every: Annotated[str | None, typer.Option(help='Go on and look again so often ("5m"), until Ctrl-C.')] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Compare what the flow counted, in the ledger, with what the tables hold, per topic and partition.

    Exit code 1, with the offsets that are missing or doubled, when they differ. What a flow has stored a moment ago and
    not yet counted is in flight; rows so old that they may have been removed are left out. With --every a difference is
    also told in the table `events`, kind `audit`.

    **Examples**

    `streamgauge audit`

    `streamgauge audit --every 5m`
    """
    invocation: Invocation = context.obj
    settings, stop = invocation.settings, stop_on_signals()
    say = _say_json if as_json else show
    with invocation.clickhouse() as address, connect(address) as client:
        if every is None:
            found = look(client, settings, topic or [])
            say(found)
            raise typer.Exit(1 if found.findings else 0)
        pause_s, outage = duration_ms(every, "--every") / 1000, Outage(str(address))
        while True:
            try:
                found = look(client, settings, topic or [])
            except ClickHouseError as error:
                outage.failed(error, held="nothing is compared meanwhile")
            else:
                outage.over()
                say(found)
                _tell(client, found.findings)
            if stop.wait(pause_s):
                return


def look(client: Client, settings: Settings, topics: Sequence[str] = (), *, fresh_s: int = _FRESH_S) -> Audit:
    """The audit with this configuration's retention; a difference is looked at twice. Raises ClickHouseError.

    fresh_s: how long what was stored may wait for being counted.
    """
    kept = settings.clickhouse.retention
    retention_s = min(kept.readings, kept.others) // 1000
    found = audit(client, topics=topics, retention_s=retention_s, fresh_s=fresh_s)
    if found.findings:
        time.sleep(_AGAIN_S)
        found = audit(client, topics=topics, retention_s=retention_s, fresh_s=fresh_s)
    return found


def show(found: Audit) -> None:
    """A line per partition, then what is wrong, or that all is well."""
    console = wide_console()
    table = Table("partition", "messages", "readings", "on time", "late", "duplicates", "rejected", "stored")
    for (topic, partition), some in found.by_partition().items():
        on_time, late, rejected = (sum(one.counted[place] for one in some) for place in range(3))
        stored = sum(one.stored.on_time + one.stored.late for one in some)
        sums = [sum(getattr(one, name) for one in some) for name in ("messages", "readings", "duplicates")]
        row = (sums[0], sums[1], on_time, late, sums[2], rejected, stored)
        table.add_row(f"{topic}/{partition}", *(f"{number:,}" for number in row))
    console.print(table)
    if found.in_flight:
        console.print(f"{found.in_flight} stretches of offsets are in flight: stored, and counted when a pane ends")
    if found.expired:
        console.print(f"{found.expired} stretches are older than retention keeps readings, and were left out")
    if found.without_message:
        console.print(
            f"{found.without_message:,} offsets hold no message: deleted, compacted, or marks of transactions"
        )
    for finding in found.findings:
        console.print(f"[bold red]wrong[/] {escape(told(finding))}", soft_wrap=True)
    if found.findings:
        console.print(
            "what Kafka still holds can be read again: stop the flow, `streamgauge state reset --from earliest`, run;"
            " rows that are there replace themselves",
            soft_wrap=True,
        )
    else:
        console.print("[green]every reading is accounted for[/]")


def _say_json(found: Audit) -> None:
    typer.echo(json.dumps(_plain(found)))


def _plain(found: Audit) -> dict[str, Any]:
    stretches = [
        one._asdict() | {"counted": one.counted._asdict(), "stored": one.stored._asdict()} for one in found.stretches
    ]
    return {**asdict(replace(found, stretches=[])), "stretches": stretches}


def told(finding: Finding) -> str:
    runs = ", ".join(f"{first:,}" if first == last else f"{first:,} - {last:,}" for first, last in finding.runs)
    return f"{finding.topic}/{finding.partition}: {finding.what}" + (f": {runs}" if runs else "")


def _tell(client: Client, findings: list[Finding]) -> None:
    for finding in findings:
        logger.error("audit: %s", told(finding))
    events = [Event(wall_clock_ms(), "audit", f"{one.topic}/{one.partition}", told(one)) for one in findings]
    try:
        if events:
            store(client, events)
    except ClickHouseError as error:
        logger.warning("the difference is not in the table events: %s", error)
