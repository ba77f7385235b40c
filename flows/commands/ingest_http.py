"""`streamgauge ingest http` and `streamgauge ingest key`: sensors that speak HTTP, into Kafka."""

from enum import StrEnum
from importlib.util import find_spec
from typing import Annotated

import typer

from flows.commands.common import Invocation


def http(
    context: typer.Context,
    listen: Annotated[str, typer.Option(help='"host:port"; port 0 takes a free one.', show_default="http.listen")] = "",
) -> None:
    """Take readings in over HTTP and send them to the first topic of Kafka, until Ctrl-C or SIGTERM.

    POST /readings takes one reading, an array, NDJSON or Arrow, also gzipped; what is wrong is told row by row. GET
    /api/readings, /api/windows, /api/predictions, /api/alerts export what is stored as JSON, CSV, Parquet or Arrow.
    /docs describes it all. Off loopback it needs keys, see `streamgauge ingest key`; settings are in `[http]`.

    **Example**: `streamgauge ingest http --listen 127.0.0.1:8080`
    """
    from flows.settings import SettingsError

    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise SettingsError("HTTP needs some more packages: pip install 'streamgauge[http]'")
    import msgspec

    from flows.ingest_http import service
    from flows.observing import set_up_logs
    from infra.kafka.client import TopicMissing, Unreachable
    from infra.signals import stop_on_signals

    invocation: Invocation = context.obj
    settings = invocation.settings
    if listen:
        settings = msgspec.structs.replace(settings, http=msgspec.structs.replace(settings.http, listen=listen))
    set_up_logs(settings, "http")
    stop = stop_on_signals()
    try:
        with service(settings, stop) as ready:
            where = f"{settings.kafka.bootstrap}  {settings.kafka.topics[0]}"
            typer.echo(f"{ready.url}/readings  ->  {where}   ({ready.url}/docs)")
            if not stop.is_set():
                ready.run()
    except (Unreachable, TopicMissing):
        if not stop.is_set():  # else it was told to stop while it waited for Kafka
            raise


class Role(StrEnum):
    """What a key allows."""

    write = "write"
    read = "read"


def key(
    name: Annotated[str, typer.Argument(help="Whose it will be.")],
    role: Annotated[list[Role] | None, typer.Option(help="May be given twice.", show_default="write")] = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Readings a second, on average.")] = None,
) -> None:
    """Make an API key: shown once, and the line that goes into the file instead of it.

    **Example**: `streamgauge ingest key gateway-7 --rate 1000`
    """
    from json import dumps

    from infra.http.keys import new_key

    made = new_key()
    roles = ", ".join(dumps(one) for one in role or [Role.write])
    limit = "" if rate is None else f", rate = {rate:g}"
    typer.echo(f"key, shown only now:\n\n    {made.key}\n\nin streamgauge.toml, under [http.keys]:\n")
    typer.echo(f'    {dumps(name)} = {{ sha256 = "{made.sha256}", roles = [{roles}]{limit} }}')
