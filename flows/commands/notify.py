"""`streamgauge notify`: tells people and machines of alerts."""

import typer

from flows.commands.common import Invocation
from flows.notifier import notify as run
from flows.observing import set_up_logs
from infra.signals import stop_on_signals


def notify(context: typer.Context) -> None:
    """Tell of alerts in every channel of [[notify.channels]], until Ctrl-C.

    Reads the topic of alerts; what was told is in a SQLite file of its own (notify.record), so a restart tells nothing
    twice. A channel that fails is tried until it works, and holds up no other. `streamgauge alerts test CHANNEL` tries
    one.

    **Example**: `streamgauge notify`
    """
    invocation: Invocation = context.obj
    set_up_logs(invocation.settings, "notify")
    run(invocation.settings, stop_on_signals())
