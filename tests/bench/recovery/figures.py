"""What a part of this benchmark has found out, and how it is shown."""

from collections.abc import Iterable
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tests.bench.targets import show_targets


class Figure(NamedTuple):
    """wanted: what was aimed at, "" for what is only told. reached: whether it was."""

    what: str
    told: str
    wanted: str = ""
    reached: bool = True


def show(title: str, figures: Iterable[Figure], console: Console) -> None:
    """A table of all, then a line for each that was aimed at."""
    table = Table(title=title, box=SIMPLE_HEAD)
    table.add_column("")
    table.add_column("measured", justify="right")
    table.add_column("wanted", justify="right")
    figures = list(figures)
    for one in figures:
        table.add_row(one.what, one.told, one.wanted)
    console.print(table)
    targets = [(one.reached, f"{one.what}: {one.told}, {one.wanted} wanted") for one in figures if one.wanted]
    show_targets(targets, console)
