"""`streamgauge edge`: a whole pipeline on one small device."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.common import Invocation

if TYPE_CHECKING:
    from flows.edge_parts import Keeper
    from flows.settings import Settings


def edge(
    context: typer.Context,
    store: Annotated[
        bool, typer.Option("--store/--no-store", help="Keep rows in ClickHouse, in data_dir or where it is configured.")
    ] = True,
    part: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Readings over MQTT in; verdicts and alerts over MQTT out; on to a Kafka elsewhere whenever it answers.

    Until Ctrl-C or SIGTERM. What is to be forwarded waits on disk. docs/edge.md says what is promised.

    **Examples**

    `streamgauge edge --no-store`

    `STREAMGAUGE_EDGE__UPSTREAM=kafka.example:9092 streamgauge edge`
    """
    from flows.observing import set_up_logs
    from infra.mqtt.errors import need_paho

    need_paho()
    invocation: Invocation = context.obj
    set_up_logs(invocation.given, part or None)
    if part:
        _work(invocation.given, part, store=store)
    else:
        sys.exit(_keep(invocation, store=store))


def _work(settings: "Settings", part: str, *, store: bool) -> None:
    """As one of the device's processes."""
    from infra.signals import stop_on_signals

    stop = stop_on_signals()
    if part == "worker":
        from flows.edge_worker import work_on_device

        work_on_device(settings, stop, store=store)
    else:
        from flows.edge_gateway import gateway

        again = gateway(settings, stop, store=store)
        if again:
            typer.echo(f"{again:,} messages are not in the log; the MQTT broker sends them again")


def _keep(invocation: Invocation, *, store: bool) -> int:
    """As the process that keeps the others; the exit code."""
    from flows.edge_device import Device
    from flows.edge_parts import Keeper, noted
    from infra.embedded.process import StartCancelled
    from infra.observe.systemd import Systemd
    from infra.signals import stop_on_signals

    settings = invocation.given
    systemd, stop = Systemd(), stop_on_signals()
    with noted(Path(settings.data_dir) / "endpoints.json") as note:
        device = Device(invocation.config, settings, store=store)
        keeper = Keeper(device.parts, stop, systemd)
        bad: list[str] = []
        with _served(settings, keeper):
            try:
                typer.echo("starting; the first time compiles, which takes a minute on a small device")
                keeper.start()
                note(device.endpoints())
                for line in device.story() if not stop.is_set() else ():
                    typer.echo(line)
                systemd.ready("running")
                keeper.watch()
                typer.echo("stopping")
                systemd.stopping("stopping")
            except StartCancelled:
                pass
            finally:
                bad = keeper.stop()
    if bad:
        typer.echo(f"not ended well: {', '.join(bad)}; what they had not done is done at the next start", err=True)
    return 1 if bad else 0


@contextmanager
def _served(settings: "Settings", keeper: "Keeper") -> Iterator[None]:
    """Health and metrics of the whole, where [observe] listen says. Raises SettingsError."""
    from flows.settings import SettingsError

    listen = settings.observe.listen
    with ExitStack() as stack:
        if listen:
            from infra.observe.health import HealthServer
            from infra.observe.merged import merge

            try:
                server = HealthServer(listen, live=list, ready=keeper.missing, metrics=lambda: merge(keeper.metrics()))
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else str(error)
                raise SettingsError(f"observe.listen = '{listen}': {why}; name another address") from None
            stack.enter_context(server)
        yield
