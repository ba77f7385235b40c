"""The `streamgauge` command."""

import faulthandler
import logging
import os
import sys
from importlib import import_module, metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from flows.commands.common import Invocation, peoples_error

COMMANDS = {
    "demo": ("demo:demo", "Live sensors, windows and detectors on this machine, with an hour of history."),
    "up": ("demo:up", "Run only the embedded brokers and ClickHouse, with topic and tables, until Ctrl-C."),
    "run": ("run:run", "Run a flow until it is told to stop; Ctrl-C or SIGTERM drains it."),
    "alerts": ("alerts:app", "What is open and why; acknowledge, silence, plan maintenance."),
    "notify": ("notify:notify", "Tell people and machines of alerts, over webhooks and e-mail."),
    "watch": ("watch:watch", "Say when a partition, a plant or the flow itself has fallen silent."),
    "ingest": ("ingest:app", "Ways into Kafka for sensors that do not speak it: MQTT, HTTP."),
    "edge": ("edge:edge", "A whole pipeline on one small device: MQTT in, alerts out, on to Kafka when it can."),
    "simulate": ("data:simulate", "Send simulated sensors to the first topic, with faults and their ground truth."),
    "replay": ("data:replay", "Send files to the first topic, merged by event time."),
    "backtest": ("backtest:backtest", "Judge a recorded file as the flow would have; no broker, no ClickHouse."),
    "train": ("train:train", "Train a TFLite model on normal readings, without TensorFlow."),
    "query": ("query:query", "Ask ClickHouse."),
    "rebuild": ("rebuild:rebuild", "Compute a past range once more: new windows, late data, corrected settings."),
    "console": ("console:app", "Live pages over what is stored: sensors, windows, detection, alerts, health."),
    "report": ("report:report", "The console's pages over a range, as one file with charts and data."),
    "plan": ("plan:plan", "How many cores, how much memory and disk so many sensors need."),
    "grafana": ("grafana:app", "Dashboards and alert rules over ClickHouse, into a Grafana."),
    "db": ("db:app", "The tables in ClickHouse."),
    "audit": ("audit:audit_command", "Is everything that was read stored, and once?"),
    "deadletters": ("deadletters:app", "What was refused: look at it, correct it, send it once more."),
    "state": ("state:app", "What a flow goes on from: look at it, back it up, begin anew."),
    "check": ("check:check", "Try out configuration, broker, topics, keys, ClickHouse and schema."),
    "explain-reading": ("explain_reading:explain_reading", "What made the verdict on one reading."),
    "explain": ("explain:explain", "Draw a flow and list every setting with its source; secrets stay hidden."),
}
"""Name -> where it is in flows/commands, and what it does in a line."""

_END_WITHIN_S = 60
_STYLE: dict[str, Any] = {
    "rich_markup_mode": "markdown",
    "pretty_exceptions_enable": False,
    "add_completion": False,
    "no_args_is_help": True,
}


class _Lazy(TyperGroup):
    """Imports a command only when it is called, so that help and mistakes are answered at once."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else _load(name), rest


app = typer.Typer(
    name="streamgauge",
    help="Sensor readings from Kafka into windows, verdicts and ClickHouse, in real time.",
    cls=_Lazy,
    **_STYLE,
)
for _name, (_, _line) in COMMANDS.items():
    app.command(_name, help=_line)(lambda: None)


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"streamgauge {metadata.version('streamgauge')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Configuration file.", show_default="./streamgauge.toml")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Say which release this is.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """What holds for all commands."""
    context.obj = Invocation(config)
    # One's own detectors, features and aggregates may lie beside the configuration.
    sys.path.append(str((config.parent if config is not None else Path()).resolve()))


def _load(name: str) -> Any:
    module, _, attribute = COMMANDS[name][0].partition(":")
    found = getattr(import_module(f"flows.commands.{module}"), attribute)
    if isinstance(found, typer.Typer):
        return typer.main.get_command(found)
    alone = typer.Typer(**_STYLE | {"no_args_is_help": False})
    alone.command(name)(found)
    return typer.main.get_command(alone)


def main() -> None:
    """Entry point: a mistake of the user's is one line, never a stack trace."""
    # Arrow's own allocators keep what was freed, 100 MB in a worker that catches up. Read when pyarrow is imported.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    # It tells of every attempt; an outage is said once, by us.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        cause = peoples_error(error)
        if cause is None:
            raise
        console = Console(stderr=True, highlight=False)
        console.print("[bold red]error[/]", end=" ")
        console.print(str(cause), markup=False, soft_wrap=True)
        sys.exit(1)
    finally:
        # What is left is Python's own end, in which threads of libraries can lock each other out: it says where.
        faulthandler.dump_traceback_later(_END_WITHIN_S, exit=True)


if __name__ == "__main__":
    main()
