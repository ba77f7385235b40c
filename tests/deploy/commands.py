"""Command lines and settings of what is deployed, read by our own CLI and settings without running anything."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from flows.cli import app
from flows.configuration import load
from flows.settings import Settings

CONFIG = "/etc/streamgauge/streamgauge.toml"


def parsed(argv: Sequence[str]) -> list[str]:
    """The names of the commands in a command line, each of whose options and arguments was understood.

    Raises typer's errors for what the CLI would refuse.
    """
    path = list(sys.path)
    try:
        names: list[str] = []
        command: Any = typer.main.get_command(app)
        context = command.make_context("streamgauge", list(argv))
        while hasattr(command, "resolve_command") and (rest := [*context._protected_args, *context.args]):
            name, command, rest = command.resolve_command(context, rest)
            names.append(name)
            context = command.make_context(name, rest, parent=context)
        return names
    finally:
        sys.path[:] = path


def settings(file: Path, environment: Mapping[str, str], *, secrets: Path) -> Settings:
    """What a service is told. secrets: a directory in which those that it names are made up."""
    given = dict(environment)
    for name, value in environment.items():
        if name.endswith("_FILE"):
            made_up = secrets / Path(value).name
            made_up.write_text(f"secret-of-{made_up.name}")
            given[name] = str(made_up)
    return load(file, given)
