"""The `streamgauge` command."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.commands import check, data, db, demo, explain, query, run
from flows.commands.common import PEOPLES_ERRORS, Invocation

app = typer.Typer(
    name="streamgauge",
    help="Sensor readings from Kafka into windows, verdicts and ClickHouse, in real time.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("demo")(demo.demo)
app.command("up")(demo.up)
app.command("run")(run.run)
app.command("simulate")(data.simulate)
app.command("replay")(data.replay)
app.command("query")(query.query)
app.add_typer(db.app, name="db")
app.command("check")(check.check)
app.command("explain")(explain.explain)


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Configuration file.", show_default="./streamgauge.toml")
    ] = None,
) -> None:
    """What holds for all commands."""
    context.obj = Invocation(config)


def main() -> None:
    """Entry point: a mistake of the user's is one line, never a stack trace."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        app()
    except PEOPLES_ERRORS as error:
        Console(stderr=True, highlight=False).print(f"[bold red]error[/] {error}", markup=True, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
