"""`streamgauge console`: the live pages."""

from importlib.util import find_spec
from typing import Annotated

import typer

from flows.commands.common import Invocation
from flows.commands.console_users import audit, users

app = typer.Typer(invoke_without_command=True, add_completion=False, rich_markup_mode="markdown")
app.add_typer(users, name="user")
app.command("audit")(audit)


@app.callback()
def console(
    context: typer.Context,
    listen: Annotated[
        str, typer.Option(help='"host:port"; port 0 takes a free one.', show_default="console.listen")
    ] = "",
) -> None:
    """Serve the live console over what is stored, until Ctrl-C or SIGTERM.

    Pages: Live, Windows, Detection, Analytics, Alerts, Health. It reads ClickHouse over HTTP, that of a running `demo`
    or `up` when nothing else is configured, else what an earlier demo has kept; settings are in `[console]`.

    On loopback there is no login; elsewhere there is, see `streamgauge console user`.

    **Example**: `streamgauge console --listen 127.0.0.1:8088`
    """
    if context.invoked_subcommand is not None:
        return
    from flows.settings import SettingsError

    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise SettingsError("the console needs some more packages: pip install 'streamgauge[console]'")
    import msgspec

    from flows.console import console as ready_console
    from flows.observing import set_up_logs
    from infra.signals import stop_on_signals

    invocation: Invocation = context.obj
    settings = invocation.settings
    if listen:
        settings = msgspec.structs.replace(settings, console=msgspec.structs.replace(settings.console, listen=listen))
    set_up_logs(settings, "console")
    stop = stop_on_signals()
    with invocation.clickhouse() as address, ready_console(settings, address) as serving:
        typer.echo(f"console: {serving.url}/   (ClickHouse {address}, database {address.database})")
        if not stop.is_set():
            serving.run()
