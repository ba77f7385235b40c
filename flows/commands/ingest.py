"""`streamgauge ingest`: ways into Kafka for sensors that do not speak it; each imports only what it needs itself."""

import typer

from flows.commands.ingest_mqtt import mqtt

app = typer.Typer(
    help="Ways into Kafka.\n\n**Example**: `streamgauge ingest mqtt`",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)
app.command("mqtt")(mqtt)


@app.callback()
def _ways() -> None:
    """A sub-command is named, also while there is one only."""
