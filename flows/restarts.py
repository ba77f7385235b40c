"""Where reading begins when a worker starts, and rows for `events` that say so."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from flows.recovery import note_partitions, stored_layout
from flows.settings import Settings
from infra.clickhouse.client import Address, ClickHouseError, connect
from infra.clickhouse.events import Event, store
from infra.simulate.runner import wall_clock_ms
from operators.intake import Intake, MakeIntake, SourceState

logger = logging.getLogger(__name__)


def beginning_as_reset(settings: Settings, directory: Path) -> Settings:
    """The settings with the start `streamgauge state reset` has left in the store, if it has, for kafka.start."""
    layout = stored_layout(directory)
    if layout is None or layout.start is None:
        return settings
    return msgspec.structs.replace(settings, kafka=msgspec.structs.replace(settings.kafka, start=layout.start))


def tell_new_partitions(directory: Path, partitions: Sequence[str], address: Address) -> None:
    """Say once, in the log and in `events`, that a topic has more partitions than at the last start."""
    counts = Counter(one.rpartition("/")[0] for one in partitions)
    noted = note_partitions(directory, counts)
    if noted is None:
        return
    before, since = noted
    events = []
    for topic, now in since.topics.items():
        was = before.topics.get(topic)
        if was is None or was.now == now.now:
            continue
        detail = (
            f"{was.now} partitions before, {now.now} now: a sensor whose key falls into another one than before starts "
            "afresh there; `streamgauge state status` counts those it has seen in several"
        )
        logger.warning("topic %s has %s", topic, detail)
        events.append(Event(wall_clock_ms(), "partitions", topic, detail))
    _tell(address, events)


def telling_restarts(make: MakeIntake, address: Address, *, start: str) -> MakeIntake:
    """`make`, which also stores a row of kind `restart` for each partition it is called for.

    start: where reading begins without a recovery store, for people.
    """

    def made(topic: str, partition: int, state: SourceState | None) -> Intake:
        detail = f"starts afresh at {start}" if state is None else f"goes on at offset {state[0]}"
        _tell(address, [Event(wall_clock_ms(), "restart", f"{topic}/{partition}", detail)])
        return make(topic, partition, state)

    return made


def _tell(address: Address, events: list[Event]) -> None:
    """A row that cannot be stored is only logged: it is told for people, and nothing hangs on it."""
    if not events:
        return
    try:
        with connect(address) as client:
            store(client, events)
    except ClickHouseError as error:
        what = ", ".join(f"the {one.kind} of {one.subject}" for one in events)
        logger.warning("%s is not in the table events: %s", what, error)
