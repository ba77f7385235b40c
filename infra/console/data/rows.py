"""Tables of what was put together in Python."""

from collections.abc import Iterable, Mapping
from typing import Any

from infra.console.table import Kind, Table


def table_of_rows(kinds: Mapping[str, Kind], rows: Iterable[Mapping[str, Any]], **about: Any) -> Table:
    """Rows with these columns; times are epoch milliseconds already."""
    listed = list(rows)
    return Table({name: [row[name] for row in listed] for name in kinds}, dict(kinds), about)


def kinds(text: str = "", number: str = "", time: str = "", other: str = "") -> dict[str, Kind]:
    """What columns hold, their names parted by blanks; the text ones first, then times."""
    found: dict[str, Kind] = {}
    found |= dict.fromkeys(text.split(), "text")
    found |= dict.fromkeys(time.split(), "time")
    found |= dict.fromkeys(number.split(), "number")
    found |= dict.fromkeys(other.split(), "other")
    return found
