"""What commands share: the configuration, where ClickHouse is, and which errors are people's.

Imports little: `streamgauge --help` waits for it.
"""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

if TYPE_CHECKING:
    from flows.settings import Settings
    from infra.clickhouse.client import Address

_WIDE = 1_000


class Invocation:
    """One run of the command."""

    def __init__(self, config: Path | None) -> None:
        self.config = config

    @cached_property
    def given(self) -> "Settings":
        """The configuration as it is written."""
        from flows.configuration import load

        return load(self.config)

    @cached_property
    def settings(self) -> "Settings":
        """The configuration; where it is at its default it points at a running `demo` or `up`, when there is one."""
        from flows.local import running

        return running(self.given)

    @contextmanager
    def clickhouse(self) -> Iterator["Address"]:
        """Where ClickHouse is; when nothing answers there, the kept data of an earlier demo is opened."""
        from flows.local import kept_clickhouse
        from flows.places import clickhouse_address

        address = clickhouse_address(self.settings)
        with kept_clickhouse(self.settings, address) as kept:
            yield kept


def duration_ms(text: str, option: str) -> int:
    """Milliseconds of "10m" and the like, given as a command-line option. Raises BadParameter."""
    from flows.settings import Duration

    try:
        return Duration.parse(text).ms
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def user_name() -> str:
    """Who gives the command, for what is written down of it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "unknown"


def wide_console() -> Console:
    """For tables: what reads a pipe or a file gets every column whole."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDE)


def peoples_error(error: BaseException) -> BaseException | None:
    """What a user, an operator or a machine did wrong behind an error, Bytewax wraps what a step raised; else None."""
    cause: BaseException | None = error
    while cause is not None and not is_peoples_error(cause):
        cause = cause.__cause__
    return cause


def is_peoples_error(error: BaseException) -> bool:
    """Whether it is something a user, an operator or a machine did wrong, to be shown as one line."""
    from flows.settings import SettingsError
    from infra.clickhouse.client import ClickHouseError
    from infra.clickhouse.reading import UnknownReading
    from infra.console.access.store import AccessError
    from infra.embedded.process import ChildFailed
    from infra.grafana.errors import GrafanaError
    from infra.kafka.client import KafkaFailure
    from infra.mqtt.errors import MqttFailure
    from infra.plot import PlotError
    from infra.registry import RegistryError
    from infra.simulate.config import SimulationError
    from infra.simulate.files import ReplayError
    from models.importing import KindError
    from operators.intake import TooManyRejects

    known = (
        SettingsError,
        ClickHouseError,
        UnknownReading,
        KafkaFailure,
        MqttFailure,
        AccessError,
        ChildFailed,
        GrafanaError,
        SimulationError,
        ReplayError,
        RegistryError,
        PlotError,
        KindError,
        TooManyRejects,
    )
    return isinstance(error, known)
