"""Rows for `events` that say where each partition is read from when a worker starts."""

import logging

from infra.clickhouse.client import Address, ClickHouseError, connect
from infra.clickhouse.encode import to_arrow
from infra.clickhouse.insert import insert
from infra.simulate.runner import wall_clock_ms
from operators.batches import ColumnData, Rows
from operators.intake import Intake, MakeIntake, SourceState

logger = logging.getLogger(__name__)


def telling_restarts(make: MakeIntake, address: Address, *, start: str) -> MakeIntake:
    """`make`, which also stores a row of kind `restart` for each partition it is called for.

    start: where reading begins without a recovery store, for people. A row that cannot be stored is only logged: it is
    told for people, and nothing hangs on it.
    """

    def made(topic: str, partition: int, state: SourceState | None) -> Intake:
        detail = f"starts afresh at {start}" if state is None else f"goes on at offset {state[0]}"
        columns: dict[str, ColumnData] = {
            "time": [wall_clock_ms()],
            "kind": "restart",
            "subject": f"{topic}/{partition}",
            "detail": [detail],
        }
        try:
            with connect(address) as client:
                insert(client, "events", to_arrow(Rows("events", 1, columns)))
        except ClickHouseError as error:
            logger.warning("the restart of %s/%d is not in the table events: %s", topic, partition, error)
        return make(topic, partition, state)

    return made
