"""`streamgauge console user` and `console audit`: who may see the console, and what they did."""

import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from flows.commands.common import Invocation, duration_ms, user_name, wide_console
from infra.simulate.runner import wall_clock_ms

if TYPE_CHECKING:
    from infra.console.access.store import Store
    from infra.console.access.users import Users

users = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="markdown")


class Role(StrEnum):
    """What a user may do."""

    viewer = "viewer"
    operator = "operator"
    admin = "admin"


class Format(StrEnum):
    """How lines are printed."""

    table = "table"
    csv = "csv"
    json = "json"


Name = Annotated[str, typer.Argument(help="Whose: small letters, digits and . _ @ -", show_default=False)]
PasswordFile = Annotated[
    str, typer.Option("--password-file", help='The first line of this file; "-" for stdin.', show_default="asked for")
]


@users.callback()
def user() -> None:
    """People who may log in: viewers look, operators also acknowledge and silence, admins also see the audit.

    A console that runs knows of a change at once. Whose password or role is changed is logged out everywhere.

    **Examples**

    `streamgauge console user add ada --role operator`

    `streamgauge console user list`
    """


@users.command()
def add(
    context: typer.Context,
    name: Name,
    role: Annotated[Role, typer.Option(help="What they may do.")] = Role.viewer,
    password_file: PasswordFile = "",
) -> None:
    """Let somebody in; their password is asked for, or read from a file."""
    password = _password(name, password_file)
    with _changing(context) as changing:
        changing.add(name, role.value, password)
    typer.echo(f"added {name}, {role}")


@users.command("list")
def list_(context: typer.Context) -> None:
    """Say who there is."""
    with _store(context) as store:
        found = store.users()
    if not found:
        typer.echo("nobody yet: `streamgauge console user add NAME`")
        return
    table = Table("user", "role", "added", "last login", header_style="bold")
    for one in found:
        table.add_row(one.name, one.role, _time(one.added_ms), "-" if one.seen_ms is None else _time(one.seen_ms))
    wide_console().print(table)


@users.command()
def remove(context: typer.Context, name: Name) -> None:
    """Let somebody in no more."""
    with _changing(context) as changing:
        changing.remove(name)
    typer.echo(f"removed {name}")


@users.command("password")
def change_password(context: typer.Context, name: Name, password_file: PasswordFile = "") -> None:
    """Give somebody another password."""
    password = _password(name, password_file)
    with _changing(context) as changing:
        changing.change_password(name, password)
    typer.echo(f"{name} has another password, and is logged out everywhere")


@users.command("role")
def change_role(
    context: typer.Context, name: Name, role: Annotated[Role, typer.Argument(help="From now on.", show_default=False)]
) -> None:
    """Let somebody do more, or less."""
    with _changing(context) as changing:
        changing.change_role(name, role.value)
    typer.echo(f"{name} is {role} now, and is logged out everywhere")


def audit(
    context: typer.Context,
    since: Annotated[str, typer.Option(help='How long ago at most: "24h", "30d".')] = "24h",
    actor: Annotated[str, typer.Option(help="Of this user only.", show_default="everybody")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Lines at most, the newest.")] = 1_000,
    output: Annotated[Format, typer.Option("--format", "-f", help="json prints one object a line.")] = Format.table,
) -> None:
    """What people did: logins, failed ones, acknowledgements, silences, changes of users. It is only added to.

    **Example**: `streamgauge console audit --since 30d --format csv`
    """
    from infra.console.access.store import COLUMNS, as_csv

    since_ms = wall_clock_ms() - duration_ms(since, "--since")
    with _store(context) as store:
        found = store.audit(since_ms, actor=actor, most=limit)
    if output is Format.csv:
        print(as_csv(found), end="")
    elif output is Format.json:
        for one in found:
            print(json.dumps(dict(zip(COLUMNS, (one.time, *one[1:]), strict=True)), ensure_ascii=False))
    else:
        table = Table(*COLUMNS, header_style="bold")
        for one in found:
            table.add_row(_time(one.at_ms), *(escape(str(text)) for text in one[1:]))
        wide_console().print(table)


@contextmanager
def _store(context: typer.Context) -> Iterator["Store"]:
    from flows.console_access import users_file
    from infra.console.access.store import Store

    invocation: Invocation = context.obj
    with closing(Store(users_file(invocation.settings))) as store:
        yield store


@contextmanager
def _changing(context: typer.Context) -> Iterator["Users"]:
    from importlib.util import find_spec

    from flows.settings import SettingsError

    if find_spec("argon2") is None:
        raise SettingsError("the console needs some more packages: pip install 'streamgauge[console]'")
    from infra.console.access.users import Users

    with _store(context) as store:
        yield Users(store, by=user_name(), now_ms=wall_clock_ms())


def _password(name: str, file: str) -> str:
    """Never an argument: those can be seen by everybody on the machine. Raises BadParameter."""
    if file == "-":
        return sys.stdin.readline().rstrip("\r\n")
    if file:
        try:
            return (Path(file).read_text(encoding="utf-8").splitlines() or [""])[0]
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "not text"
            raise typer.BadParameter(f"{file!r}: {why}", param_hint="--password-file") from None
    if not sys.stdin.isatty():
        raise typer.BadParameter(
            "there is no terminal to ask for it: --password-file - reads it from stdin", param_hint="--password-file"
        )
    given: str = typer.prompt(f"password of {name}", hide_input=True, confirmation_prompt="once more")
    return given


def _time(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
