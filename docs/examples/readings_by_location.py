"""A flow of one's own: how many readings each location has sent so far.

    streamgauge run docs/examples/readings_by_location.py

The totals are state: kept in the recovery store, they go on after a restart.
"""

from collections import Counter

import bytewax.operators as op
from bytewax.connectors.stdio import StdOutSink
from bytewax.dataflow import Dataflow

from flows.parts import Parts
from flows.ports import Ports
from flows.settings import Settings
from operators.intake import IntakeBatch


def build(settings: Settings, ports: Ports) -> Dataflow:
    """Source -> readings of a batch by location -> running total -> a line."""
    flow = Dataflow("readings_by_location")
    batches = op.input("source", flow, ports.source(Parts(settings, ports).intake))
    counts = op.flat_map("locations", batches, locations)
    totals = op.stateful_map("total", counts, add)
    op.output("print", op.map("line", totals, lambda item: f"{item[0]}: {item[1]}"), StdOutSink())
    return flow


def locations(batch: IntakeBatch) -> list[tuple[str, int]]:
    """(location, readings) of a batch."""
    if batch.readings is None:
        return []
    series = batch.readings.series.values
    return list(Counter(series[code].location for code in batch.readings.code.tolist()).items())


def add(total: int | None, more: int) -> tuple[int, int]:
    """The new state and what is handed on: both the new total."""
    total = (total or 0) + more
    return total, total
