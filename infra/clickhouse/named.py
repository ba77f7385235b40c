"""Named queries: SQL files beside this one, whose comment says what they answer, what they take and what they give.

    -- Where is data missing?                         the question, one line
    -- What else there is to know.
    --
    -- Parameters                                     or "none" below it
    --   since: DateTime64(3, 'UTC') = 24h  -- from then on: a time, or how long ago
    --
    -- Example                                        its first line names the columns
    --   sensor_id | seconds
    --   pump-7    |     134

Parameters are ClickHouse's own: `{since:DateTime64(3, 'UTC')}` in the SQL, bound by the server.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.clickhouse.client import ClickHouseError

FOLDER = Path(__file__).parent / "queries"

_PARAMETER = re.compile(r"(\w+): (.+?)(?: = (.*?))?  -- (.+)")
_PLACEHOLDER = re.compile(r"\{(\w+):([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """kind: ClickHouse's type. default: as text; None when it must be given."""

    name: str
    kind: str
    default: str | None
    meaning: str

    @property
    def is_time(self) -> bool:
        """Whether it is an instant."""
        return self.kind.startswith("DateTime")


@dataclass(frozen=True, slots=True)
class NamedQuery:
    """question: one line. about: more of it. example: lines of a result, the first of which names the columns."""

    name: str
    question: str
    about: str
    parameters: tuple[Parameter, ...]
    example: tuple[str, ...]
    sql: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(name.strip() for name in self.example[0].split("|"))

    def with_defaults(self, given: Mapping[str, str]) -> dict[str, str]:
        """The text of every parameter. Raises ClickHouseError for one that is not there, or that is missing."""
        known = {one.name for one in self.parameters}
        takes = f"query {self.name} takes {', '.join(sorted(known)) or 'no parameters'}"
        for name in given:
            if name not in known:
                raise ClickHouseError(f"parameter {name}: there is none of that name: {takes}")
        texts = {one.name: given.get(one.name, one.default) for one in self.parameters}
        missing = [name for name, text in texts.items() if text is None]
        if missing:
            meaning = self.parameter(missing[0]).meaning
            raise ClickHouseError(f"query {self.name} needs --param {missing[0]}=...: {meaning}")
        return {name: text for name, text in texts.items() if text is not None}

    def parameter(self, name: str) -> Parameter:
        """The one of that name."""
        return next(one for one in self.parameters if one.name == name)


def named_queries(folder: Path = FOLDER) -> list[NamedQuery]:
    """All of them, by name."""
    return [parse(path.stem, path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.sql"))]


def named_query(name: str, folder: Path = FOLDER) -> NamedQuery:
    """One by its name. Raises ClickHouseError that lists the names there are."""
    found = {one.name: one for one in named_queries(folder)}
    if name not in found:
        raise ClickHouseError(f"no query is named {name!r}; there are {', '.join(found)} (`streamgauge query --list`)")
    return found[name]


def parse(name: str, text: str) -> NamedQuery:
    """Read a file. Raises ValueError when its comment is not as it should be, or says other than the SQL."""
    lines = text.splitlines()
    length = next((number for number, line in enumerate(lines) if not line.startswith("--")), len(lines))
    header, sql = [line.removeprefix("--").removeprefix(" ") for line in lines[:length]], "\n".join(lines[length:])
    try:
        takes, gives = header.index("Parameters"), header.index("Example")
    except ValueError:
        raise ValueError(f"{name}.sql: its comment needs the lines Parameters and Example") from None
    parameters = tuple(_parameter(name, line) for line in header[takes + 1 : gives] if line.strip() not in ("", "none"))
    used = dict(_PLACEHOLDER.findall(sql))
    if used != {one.name: one.kind for one in parameters}:
        raise ValueError(f"{name}.sql: its comment names other parameters than its SQL: {used}")
    example = tuple(line.strip() for line in header[gives + 1 :] if line.strip())
    if len(example) < 2:
        raise ValueError(f"{name}.sql: its example needs column names and a row")
    return NamedQuery(name, header[0], " ".join(header[1:takes]).strip(), parameters, example, sql.strip())


def _parameter(name: str, line: str) -> Parameter:
    match = _PARAMETER.fullmatch(line.strip())
    if match is None:
        raise ValueError(f"{name}.sql: {line.strip()!r} is not `name: type = default  -- meaning`")
    default = match[3]
    return Parameter(match[1], match[2], "" if default == "''" else default, match[4])
