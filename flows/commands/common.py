"""What commands share: the configuration, and where ClickHouse is."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from flows import settings as settings_module
from flows.local import kept_clickhouse, running
from flows.production import clickhouse_address
from flows.settings import Settings, SettingsError
from infra.clickhouse.client import Address, ClickHouseError
from infra.embedded.process import ChildFailed
from infra.kafka.client import KafkaFailure
from infra.registry import RegistryError
from infra.simulate.config import SimulationError
from infra.simulate.files import ReplayError
from models.importing import KindError
from operators.intake import TooManyRejects

PEOPLES_ERRORS = (
    SettingsError,
    ClickHouseError,
    KafkaFailure,
    ChildFailed,
    SimulationError,
    ReplayError,
    RegistryError,
    KindError,
    TooManyRejects,
)
"""What a user, an operator or a machine did wrong: shown as one line."""


class Invocation:
    """One run of the command."""

    def __init__(self, config: Path | None) -> None:
        self.config = config

    @cached_property
    def given(self) -> Settings:
        """The configuration as it is written."""
        return settings_module.load(self.config)

    @cached_property
    def settings(self) -> Settings:
        """The configuration; where it is at its default it points at a running `demo` or `up`, when there is one."""
        return running(self.given)

    @contextmanager
    def clickhouse(self) -> Iterator[Address]:
        """Where ClickHouse is; when nothing answers there, the kept data of an earlier demo is opened."""
        address = clickhouse_address(self.settings)
        with kept_clickhouse(self.settings, address) as kept:
            yield kept
