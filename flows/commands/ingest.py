"""`streamgauge ingest`: ways into Kafka for sensors that do not speak it; each imports only what it needs itself."""

import typer

from flows.commands.ingest_http import http, key
from flows.commands.ingest_mqtt import mqtt

app = typer.Typer(
    help="Ways into Kafka.\n\n**Examples**: `streamgauge ingest mqtt`, `streamgauge ingest http`",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)
app.command("mqtt")(mqtt)
app.command("http")(http)
app.command("key")(key)
