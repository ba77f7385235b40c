"""`streamgauge run`: a flow on real Kafka and ClickHouse."""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from signal import SIG_IGN, SIGTERM, signal
from typing import Annotated

import typer

from flows.cluster import run_cluster
from flows.commands.common import Invocation
from flows.find import find
from flows.graceful import Failures
from flows.production import clickhouse_address, production_ports
from flows.recovery import STORE_PARTITIONS, Layout, open_store
from flows.rehearsal import rehearse
from flows.worker import work
from infra.clickhouse.client import ClickHouseError
from infra.clickhouse.sink import ClickHouseSink
from infra.kafka.client import TopicMissing, Unreachable
from infra.signals import stop_on_signals

logger = logging.getLogger(__name__)


def run(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="`sensors`, another file in flows/, or the path of a file of your own.")],
    processes: Annotated[int, typer.Option(min=1, max=STORE_PARTITIONS, help="Worker processes on this machine.")] = 1,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Stop at what the topics hold now, instead of waiting for more.")
    ] = False,
    close: Annotated[
        bool, typer.Option("--close", help="With --until-end: also close the last windows. Keeps no recovery store.")
    ] = False,
    process_id: Annotated[int | None, typer.Option(hidden=True)] = None,
    address: Annotated[list[str] | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run a flow until it is told to stop; Ctrl-C or SIGTERM drains it.

    **Examples**

    `streamgauge run sensors`

    `streamgauge run sensors --processes 2`

    `streamgauge run my/flow.py`
    """
    if close and not until_end:
        raise typer.BadParameter("--close needs --until-end: a stream that goes on closes its windows by itself")
    invocation: Invocation = context.obj
    stop = stop_on_signals()
    settings = invocation.settings
    build = find(name)
    rehearse(settings)
    recovery = None if close else open_store(Path(settings.worker.recovery_dir), Layout.of(name, settings))
    if processes > 1:
        sys.exit(run_cluster(_argv, processes, stop))
    # In a cluster the process that started it tells all of them, also this one.
    failures = Failures(stop.set if process_id is None else lambda: os.kill(os.getppid(), SIGTERM))
    sink = ClickHouseSink(clickhouse_address(settings))
    try:
        ports = production_ports(settings, sink, stop, failures, stop_at_end=until_end, close_at_end=close)
    except (ClickHouseError, Unreachable, TopicMissing):
        if stop.is_set():  # told to stop while waiting for one of them
            return
        raise
    flow = build(settings, ports)
    logger.info("flow %s runs over %s", name, ", ".join(ports.partitions))
    work(flow, epoch=settings.worker.epoch, recovery=recovery, process_id=process_id, addresses=tuple(address or ()))
    signal(SIGTERM, SIG_IGN)  # all is stored; told once more, Python's own end would be taken for a failure
    failures.raise_first()
    stats = sink.stats
    logger.info("flow %s has ended well: %s rows stored in %s inserts", name, f"{stats.rows:,}", f"{stats.inserts:,}")


def _argv(number: int, addresses: Sequence[str]) -> list[str]:
    """This command once more, as process number i of a cluster."""
    given = sys.argv[1:]
    at = next(i for i, word in enumerate(given) if word.split("=")[0] == "--processes")
    del given[at : at + (1 if "=" in given[at] else 2)]
    named = [word for one in addresses for word in ("--address", one)]
    return [sys.executable, "-m", "flows.cli", *given, "--process-id", str(number), *named]
