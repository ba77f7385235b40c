"""What the configuration knows beside what is stored: the detectors' roles, and how a reading is explained."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from infra.clickhouse.client import Client
from infra.clickhouse.reading import StoredReading
from infra.console.workers import Workers


class FeatureValue(Protocol):
    """One feature as measured; NaN while unknown."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> float: ...
    @property
    def unit(self) -> str: ...
    @property
    def meaning(self) -> str: ...


class Explanation(Protocol):
    """As `streamgauge explain-reading` tells it, see flows.explain_reading."""

    @property
    def stored(self) -> StoredReading: ...
    @property
    def asset(self) -> dict[str, Any] | None: ...
    @property
    def features(self) -> Sequence[FeatureValue]: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def threshold(self) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """roles: of each configured detector: rule, model or challenger. thresholds: raw scores from which rules flag.

    explain: of the sensor's reading nearest to a time, epoch milliseconds; None where nothing is configured.
    workers: what they tell of themselves.
    """

    roles: Mapping[str, str] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    explain: Callable[[Client, str, int], Explanation] | None = None
    workers: Workers = field(default_factory=lambda: Workers((), lambda: 0))
