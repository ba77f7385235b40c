"""The main job: readings in, verdicts, windows, alerts and counts out."""

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from flows.parts import Parts
from flows.ports import Ports
from flows.settings import Settings
from operators import steps


def build(settings: Settings, ports: Ports) -> Dataflow:
    """Source -> clock per partition -> sensor shards -> window shards; rows to one sink of tables, alerts to two."""
    parts = Parts(settings, ports)
    at_end, meter = ports.close_at_end, ports.meter
    flow = Dataflow("sensors")

    batches = op.input("source", flow, ports.source(parts.intake))
    clocked = steps.clock("clock", batches, announcer=parts.announcer(), make=parts.clock, meter=meter)
    judged = steps.sensors("sensors", clocked.shards, make=parts.sensor_shard, close_at_end=at_end, meter=meter)
    windows = steps.windows("windows", judged.panes, make=parts.window_shard, close_at_end=at_end, meter=meter)

    rows = op.merge("rows", clocked.rows, judged.rows, windows)
    op.output("tables", rows, ports.tables)
    if ports.alerts is not None:
        op.output("told", op.filter("alerts", rows, lambda item: item[1].table == "alerts"), ports.alerts)
    return flow
