"""What a page can be asked for, and what people can do on one. Each page has a module in `infra.console.data`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal

from infra.clickhouse.client import Client
from infra.console.knowledge import Knowledge
from infra.console.reader import MAX_ROWS, Reader
from infra.console.scope import Scope
from infra.console.table import Table
from infra.http.answers import Problem

Role = Literal["viewer", "operator", "admin"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request. given: its further parameters. now_ms: the wall clock, epoch milliseconds.

    known: what the configuration says.
    """

    scope: Scope
    reader: Reader
    given: Mapping[str, Sequence[str]]
    now_ms: int
    known: Knowledge = field(default_factory=Knowledge)

    def table(self, sql: str, *, max_rows: int = MAX_ROWS, **parameters: Any) -> Table:
        """What a SELECT gives; it may use the scope's parameters beside its own. Raises Problem, ClickHouseError."""
        return self.reader.table(sql, {**self.scope.parameters, **parameters}, max_rows=max_rows)

    def text(self, name: str, default: str = "") -> str:
        """A parameter of the request."""
        return self.given[name][-1] if self.given.get(name) else default

    def choice(self, name: str, allowed: Sequence[str], default: str) -> str:
        """A parameter that is one of some words. Raises Problem."""
        found = self.text(name, default)
        if found not in allowed:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name} = {found!r}: one of {', '.join(allowed)}")
        return found

    def number(self, name: str, default: int, *, least: int, most: int) -> int:
        """A parameter that is a whole number. Raises Problem."""
        text = self.text(name, str(default))
        try:
            found = int(text)
        except ValueError:
            found = least - 1
        if not least <= found <= most:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name} = {text!r}: a number from {least} to {most}")
        return found


@dataclass(frozen=True, slots=True)
class Dataset:
    """GET /api/PAGE/NAME. about: what the rows are, in a line."""

    name: str
    about: str
    make: Callable[[Ask], Table]


@dataclass(frozen=True, slots=True)
class Deed:
    """POST /api/PAGE/NAME with a JSON object. do(client, body, actor, now_ms) answers what the page is told."""

    name: str
    about: str
    do: Callable[[Client, Mapping[str, Any], str, int], Mapping[str, Any]]
    role: Role = "operator"
