"""How a benchmark says whether it reached what was wanted."""

from collections.abc import Sequence

from rich.console import Console

Target = tuple[bool, str]
"""Whether it was reached, and what it is about, with the figure."""


def show_targets(targets: Sequence[Target], console: Console) -> None:
    """A line each."""
    for reached, told in targets:
        word = "[green]reached[/]  " if reached else "[yellow]missed[/]   "
        console.print(f"{word}{told}", highlight=False, soft_wrap=True)
