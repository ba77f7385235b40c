"""`streamgauge explain`: the dataflow drawn, and every setting with where it comes from."""

from typing import Annotated, Any

import typer
from bytewax.testing import TestingSink, TestingSource
from bytewax.visualize import to_rendered
from rich.console import Console
from rich.table import Table
from rich.tree import Tree

from flows import configuration
from flows.commands.common import Invocation
from flows.find import find
from flows.ports import Ports
from flows.settings import Detector, Settings
from models.catalog import implementation
from operators.registry import Registry

_MARKS = {"default": "dim", "file": "cyan", "environment": "magenta"}


def explain(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The flow to draw.")] = "sensors",
) -> None:
    """Draw a flow, say what runs for each detector, and list every setting with its source; secrets stay hidden.

    **Example**: `streamgauge explain sensors`
    """
    invocation: Invocation = context.obj
    console = Console(highlight=False)
    settings = invocation.settings
    partitions = tuple(f"{topic}/0" for topic in settings.kafka.topics)
    ports = Ports(partitions, lambda _: TestingSource([]), TestingSink([]), Registry())
    console.print(_drawing(to_rendered(find(name)(settings, ports))))
    console.print()
    console.print(_detectors(settings))
    console.print()
    table = Table("setting", "value", "from", header_style="bold", box=None, pad_edge=False)
    for setting in configuration.sources(invocation.config):
        table.add_row(setting.name, setting.shown, f"[{_MARKS[setting.source]}]{setting.source}[/]")
    console.print(table)


def _detectors(settings: Settings) -> Table:
    table = Table("detector", "role", "runs", "on", header_style="bold", box=None, pad_edge=False)
    for one in settings.detectors:
        told = ", ".join(one.features or ("all features",)) + ("" if one.scaled else ", as measured")
        table.add_row(one.name, one.role + _voice(one), implementation(one.kind, one.params), told)
        if one.drift is not None:
            table.add_row("", "drift", implementation(one.drift.kind, one.drift.params), f"surprise of {one.name}")
    return table


def _voice(one: Detector) -> str:
    if one.role != "model" or one.alarm_weight == one.score_weight == 1:
        return ""
    return f", alarm {one.alarm_weight:g}, score {one.score_weight:g}"


def _drawing(flow: Any) -> Tree:
    """The steps as a tree from the sources on; a step with several inputs hangs below its first one."""
    steps = {step.step_id: step for step in flow.substeps}
    maker = {port.port_id: step.step_id for step in flow.substeps for port in step.out_ports}
    followers: dict[str, list[str]] = {step_id: [] for step_id in steps}
    sources = []
    for step in flow.substeps:
        came_from = [maker[origin] for port in step.inp_ports for origin in port.from_port_ids if origin in maker]
        if came_from:
            followers[came_from[0]].append(step.step_id)
        else:
            sources.append(step.step_id)
    tree = Tree(f"[bold]{flow.flow_id}[/]")

    def grow(branch: Tree, step_id: str) -> None:
        step = steps[step_id]
        leaf = branch.add(f"{step_id.removeprefix(flow.flow_id + '.')} [dim]{step.op_type}[/]")
        for follower in followers[step_id]:
            grow(leaf, follower)

    for source in sources:
        grow(tree, source)
    return tree
