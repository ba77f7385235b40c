"""Tables, targets and notes of a quality run: printed, or as Markdown for a page."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

BEGIN, END = "<!-- written by make quality -->", "<!-- end of what make quality wrote -->"
"""Between these two lines of a file stands what `write` has put there."""

_REACHED = {True: "reached", False: "**missed**"}


class ReportError(Exception):
    """The report cannot be written; the message is one line for people."""


@dataclass(frozen=True, slots=True)
class Table:
    """columns: titles; the first column holds names, the others numbers. rows: cells as text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Target:
    """What was wanted of a figure, and what came of it. limit: at least that much, or, when `at_most`, no more.

    style: how both are written, such as ".2f". unit: follows them.
    """

    name: str
    value: float
    limit: float
    at_most: bool = False
    style: str = ".2f"
    unit: str = ""

    @property
    def reached(self) -> bool:
        """False for NaN, too."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def told(self) -> str:
        """One line without the verdict."""
        wanted = f"{'at most' if self.at_most else 'at least'} {self.limit:{self.style}}{self.unit} wanted"
        by = "" if self.reached else f", missed by {abs(self.value - self.limit):{self.style}}{self.unit}"
        return f"{self.name}: {self.value:{self.style}}{self.unit}, {wanted}{by}"


@dataclass(frozen=True, slots=True)
class Section:
    """What belongs together: of one benchmark."""

    tables: tuple[Table, ...]
    targets: tuple[Target, ...] = ()
    notes: tuple[str, ...] = ()


def number(value: float, style: str = ".1f") -> str:
    """A cell; empty for what is not known."""
    return f"{value:{style}}" if isfinite(value) else ""


def show(sections: Sequence[Section], conditions: str, console: Console) -> None:
    """Print it all."""
    for section in sections:
        for one in section.tables:
            table = RichTable(title=one.title, title_justify="left", box=SIMPLE_HEAD)
            table.add_column(one.columns[0], no_wrap=True)
            for title in one.columns[1:]:
                table.add_column(title, justify="right", no_wrap=True)
            for row in one.rows:
                table.add_row(*map(escape, row))
            console.print(table)
        for target in section.targets:
            word = "[green]reached[/]" if target.reached else "[yellow]missed [/]"
            console.print(f"{word}  {target.told()}", highlight=False, soft_wrap=True)
        console.print(*section.notes, "", sep="\n", highlight=False, soft_wrap=True, markup=False)
    console.print(conditions, highlight=False, soft_wrap=True, markup=False)


def markdown(sections: Sequence[Section], conditions: str) -> str:
    """The same for a page."""
    parts = [conditions]
    for section in sections:
        parts += [_table(one) for one in section.tables]
        parts += [*section.notes]
        if section.targets:
            parts.append("\n".join(f"- {_REACHED[one.reached]}: {one.told()}" for one in section.targets))
    return "\n\n".join(part for part in parts if part)


def _table(one: Table) -> str:
    lines = [
        f"**{one.title}**\n",
        f"| {' | '.join(one.columns)} |",
        f"| --- |{' ---: |' * (len(one.columns) - 1)}",
        *(f"| {' | '.join(row)} |" for row in one.rows),
    ]
    return "\n".join(lines)


def write(text: str, path: Path) -> None:
    """Put `text` between the two marks in this file. Raises ReportError when it has not each once, in this order."""
    try:
        before = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ReportError(f"{path}: cannot be read: {error.strerror}") from None
    marked = re.compile(f"(?<={re.escape(BEGIN)}\n).*?(?={re.escape(END)})", re.DOTALL)
    if before.count(BEGIN) != 1 or before.count(END) != 1 or not marked.search(before):
        raise ReportError(f"{path}: needs one line {BEGIN!r} and below it one line {END!r}")
    path.write_text(marked.sub(lambda _: f"\n{text}\n\n", before), encoding="utf-8")
