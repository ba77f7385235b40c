"""`streamgauge grafana`: dashboards and alert rules, into a Grafana."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from flows.commands.common import Invocation
from flows.settings import Settings, SettingsError

if TYPE_CHECKING:
    from infra.grafana.push import Grafana

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="markdown")

_COLOURS = {"create": "green", "update": "yellow", "same": "dim"}


@app.callback()
def grafana() -> None:
    """Dashboards and alert rules over ClickHouse, into a Grafana of yours: [grafana] says where it is.

    **Examples**

    `export STREAMGAUGE_GRAFANA__URL=https://grafana.example STREAMGAUGE_GRAFANA__TOKEN=glsa_...`

    `streamgauge grafana check`

    `streamgauge grafana push`
    """


@app.command()
def push(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    password: Annotated[
        bool, typer.Option("--password", help="Send ClickHouse's password again; it cannot be compared.")
    ] = False,
) -> None:
    """Create what is missing and bring the rest to what is generated. Again, it changes nothing."""
    there = _connected(context, password_again=password)
    console = Console(highlight=False)
    steps = there.plan()
    for step in steps:
        if not dry_run:
            there.apply(step)
        done = {"create": "created", "update": "updated", "same": "as it was"}
        said = {"create": "would create", "update": "would update", "same": "as it is"} if dry_run else done
        console.print(f"[{_COLOURS[step.action]}]{said[step.action]:<12}[/] {escape(step.what)}", soft_wrap=True)
    if dry_run and all(step.action == "same" for step in steps):
        console.print("nothing to do")


@app.command()
def diff(context: typer.Context) -> None:
    """Show where Grafana differs from what is generated, place by place; exit code 1 when it does."""
    console = Console(highlight=False)
    steps = _connected(context).plan()
    for step in steps:
        if step.action == "same":
            continue
        console.print(f"{escape(step.what)}{': is not there' if step.action == 'create' else ''}", soft_wrap=True)
        for line in step.differences:
            console.print(f"    {line}", markup=False, soft_wrap=True)
    if all(step.action == "same" for step in steps):
        console.print("Grafana is as generated")
        return
    raise typer.Exit(1)


@app.command()
def check(context: typer.Context) -> None:
    """Try the address, the token, the plugin, the data source and what was pushed; each line is ok or what to do."""
    console = Console(highlight=False)
    well = True
    for finding in _connected(context).check():
        mark = "[green]ok[/]   " if finding.ok else "[yellow]look[/] "
        console.print(f"{mark} {escape(finding.text)}", soft_wrap=True)
        well = well and finding.ok
    raise typer.Exit(0 if well else 1)


@app.command()
def generate(
    verify: Annotated[
        bool, typer.Option("--verify", help="Write nothing; exit code 1 when files are not current.")
    ] = False,
) -> None:
    """Make the JSON of dashboards and alert rules once more from infra/grafana; for those who change it."""
    _need_extra()
    from infra.grafana.generate import stale, write

    changed = stale() if verify else write()
    for name in changed:
        typer.echo(f"{'not current' if verify else 'written'}: {name}")
    if not changed:
        typer.echo("all files are current")
    raise typer.Exit(1 if verify and changed else 0)


def _connected(context: typer.Context, *, password_again: bool = False) -> "Grafana":
    _need_extra()
    from infra.grafana.connection import Login
    from infra.grafana.push import ClickHouse, Grafana

    invocation: Invocation = context.obj
    settings = invocation.settings
    asked, own = settings.grafana, settings.clickhouse
    same_user = asked.clickhouse_username in ("", own.username)
    clickhouse = ClickHouse(
        host=asked.clickhouse_host or own.host,
        port=asked.clickhouse_port or own.port,
        protocol=asked.clickhouse_protocol,
        database=own.database,
        username=asked.clickhouse_username or own.username,
        password=asked.clickhouse_password or (own.password if same_user else ""),
        secure=own.secure,
    )
    login = Login(url=asked.url, token=_token(settings))
    return Grafana(login, clickhouse, email=asked.email, password_again=password_again)


def _token(settings: Settings) -> str:
    asked = settings.grafana
    if asked.token or not asked.token_file:
        return str(asked.token)
    try:
        return Path(asked.token_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not text"
        raise SettingsError(f"grafana.token_file = {asked.token_file!r}: {why}") from None


def _need_extra() -> None:
    from importlib.util import find_spec

    if find_spec("grafana_client") is None or find_spec("grafana_foundation_sdk") is None:
        raise SettingsError("Grafana needs further packages: pip install 'streamgauge[grafana]'")
