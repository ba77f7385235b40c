"""What Grafana and its ClickHouse plugin make of a query before the database sees it.

First $__conditionalAll (the plugin's front end), then variables (Grafana), then the macros of the plugin's back end.
Macros take plain column names here, as all releases of the plugin read those alike.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True)
class Choice:
    """What is chosen for a variable. everything: the option All; values: then all there are."""

    values: tuple[str, ...]
    everything: bool = False


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How a dashboard looks at its data: time range, distance of points, what is chosen."""

    from_ms: int
    to_ms: int
    interval_ms: int = 60_000
    choices: dict[str, Choice] = field(default_factory=dict)
    scoped: dict[str, Choice] = field(default_factory=dict)
    """What a repeated panel has of its own; $__conditionalAll does not see it."""

    def expand(self, sql: str) -> str:
        """The SQL that ClickHouse gets. Raises ValueError for what no macro or variable is."""
        sql = self._macros(self._variables(self._conditional(sql)))
        if "$" in sql:
            raise ValueError(f"not expanded: {sql[sql.index('$') :][:40]!r}")
        return sql

    def _conditional(self, sql: str) -> str:
        macro = "$__conditionalAll("
        while (at := sql.rfind(macro)) >= 0:
            condition, variable, end = _two_arguments(sql, at + len(macro))
            name = re.fullmatch(r"\$\{?(\w+)\}?", variable.strip())
            if name is None:
                raise ValueError(f"the second argument must be a plain variable: {variable!r}")
            phrase = "1=1" if self.choices[name[1]].everything else condition
            sql = sql[:at] + phrase + sql[end:]
        return sql

    def _variables(self, sql: str) -> str:
        def value(match: re.Match[str]) -> str:
            if match[2] != "singlequote":
                raise ValueError(f"{match[0]}: a value in SQL needs the format singlequote")
            values = (self.choices | self.scoped)[match[1]].values
            return ",".join("'" + one.replace("'", "\\'") + "'" for one in values)

        return re.sub(r"\$\{(\w+)(?::(\w+))?\}", value, sql)

    def _macros(self, sql: str) -> str:
        def expanded(match: re.Match[str]) -> str:
            name, arguments = match[1], [one.strip() for one in (match[2] or "").split(",") if one.strip()]
            if name not in self._known:
                raise ValueError(f"{match[0]}: no macro of the plugin")
            if not all(re.fullmatch(r"[\w.]+", one) for one in arguments):
                raise ValueError(f"{match[0]}: older releases of the plugin want plain column names")
            try:
                return self._known[name](*arguments)
            except TypeError:
                raise ValueError(f"{match[0]}: not the arguments of this macro") from None

        return re.sub(r"\$__(\w+)(?:\(([^()]*)\))?", expanded, sql)

    @property
    def _known(self) -> Mapping[str, Callable[..., str]]:
        begin, end = f"toDateTime({self.from_ms // 1000})", f"toDateTime({self.to_ms // 1000})"
        begin_ms, end_ms = (f"fromUnixTimestamp64Milli({ms})" for ms in (self.from_ms, self.to_ms))
        days = tuple(
            f"toDate('{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d}')" for ms in (self.from_ms, self.to_ms)
        )
        seconds = max(self.interval_ms // 1000, 1)

        def dates(day: str, time: str) -> str:
            return f"({day} >= {days[0]} AND {day} <= {days[1]}) AND ({time} >= {begin} AND {time} <= {end})"

        return {
            "fromTime": lambda: begin,
            "toTime": lambda: end,
            "fromTime_ms": lambda: begin_ms,
            "toTime_ms": lambda: end_ms,
            "interval_s": lambda: str(seconds),
            "timeFilter": lambda column: f"{column} >= {begin} AND {column} <= {end}",
            "timeFilter_ms": lambda column: f"{column} >= {begin_ms} AND {column} <= {end_ms}",
            "dateFilter": lambda column: f"{column} >= {days[0]} AND {column} <= {days[1]}",
            "dateTimeFilter": dates,
            "dt": dates,
            "timeInterval": lambda column: f"toStartOfInterval(toDateTime({column}), INTERVAL {seconds} second)",
            "timeInterval_ms": lambda column: (
                f"toStartOfInterval(toDateTime64({column}, 3), INTERVAL {max(self.interval_ms, 1)} millisecond)"
            ),
        }


def _two_arguments(sql: str, begin: int) -> tuple[str, str, int]:
    """The arguments of a macro, and where it ends; commas within brackets do not part them."""
    depth, parts, last = 1, [], begin
    for at in range(begin, len(sql)):
        depth += {"(": 1, ")": -1}.get(sql[at], 0)
        if depth == 0 or (sql[at] == "," and depth == 1):
            parts.append(sql[last:at])
            last = at + 1
        if depth == 0:
            if len(parts) != 2:
                raise ValueError(f"$__conditionalAll takes two arguments, not {len(parts)}: {parts}")
            return parts[0], parts[1], at + 1
    raise ValueError("$__conditionalAll is never closed")
