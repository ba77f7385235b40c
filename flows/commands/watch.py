"""`streamgauge watch`: says when a partition, a plant or the flow itself has fallen silent."""

import time
from contextlib import ExitStack
from typing import Annotated

import typer

from flows.commands.common import Invocation
from flows.liveness import Watch
from flows.observing import set_up_logs
from flows.places import clickhouse_address, connection
from flows.settings import SettingsError
from infra.kafka.client import TopicMissing, Unreachable
from infra.kafka.outage import Outage
from infra.observe.health import HealthServer
from infra.observe.metrics import exposition
from infra.signals import stop_on_signals

_LOOKS_PER_SILENCE = 10
_LOOK_S = (0.2, 10.0)
_SILENT = 2


def watch(
    context: typer.Context,
    once: Annotated[
        bool, typer.Option("--once", help="Look once, for cron: exit code 2 when something is silent.")
    ] = False,
    listen: Annotated[
        str, typer.Option(help="Answer /metrics and /health there, host:port.", show_default="nowhere")
    ] = "",
) -> None:
    """Tell when a partition, a plant (all of a topic) or the flow itself has been silent for observe.silent_after.

    By the wall clock and from outside: a flow cannot say that it is dead. It is told in the log, in the table `events`
    (kinds `silent` and `heard_again`) and as the metric `streamgauge_silent`. A flow that has read everything may rest.

    **Examples**

    `streamgauge watch`

    `streamgauge watch --once`
    """
    invocation: Invocation = context.obj
    settings = invocation.settings
    if settings.observe.silent_after <= settings.worker.epoch:
        raise SettingsError(
            f"observe.silent_after = {settings.observe.silent_after}: must be longer than worker.epoch = "
            f"{settings.worker.epoch}, for a flow says only then how far it is"
        )
    set_up_logs(settings, "watch")
    stop = stop_on_signals()
    began_s = 0.0 if once else time.time()
    watching = Watch(settings, connection(settings), clickhouse_address(settings), never_s=began_s)
    if once:
        watching.look()
        watching.close()
        for subject in watching.silent:
            typer.echo(f"silent: {subject}")
        raise typer.Exit(_SILENT if watching.silent else 0)
    least_s, most_s = _LOOK_S
    every_s = max(least_s, min(most_s, settings.observe.silent_after.ms / 1000 / _LOOKS_PER_SILENCE))
    outage = Outage()
    with ExitStack() as stack:
        stack.callback(watching.close)
        if listen:
            stack.enter_context(HealthServer(listen, live=list, ready=list, metrics=exposition))
        while True:
            try:
                watching.look()
            except (Unreachable, TopicMissing) as problem:
                outage.begin("watch", problem)
            else:
                outage.end("watch")
            if stop.wait(every_s):
                return
