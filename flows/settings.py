"""The only reader of configuration: TOML file, then environment, into one frozen `Settings`.

An environment variable overrides the file: STREAMGAUGE_KAFKA__BOOTSTRAP sets [kafka] bootstrap (two underscores step
into a table). Every mistake is a `SettingsError` of one line: field, value, what is allowed.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from infra.simulate.config import SimulationConfig

ENV_PREFIX = "STREAMGAUGE_"
DEFAULT_FILE = Path("streamgauge.toml")

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class SettingsError(Exception):
    """The configuration is wrong; the message says which field, which value, what is allowed."""


class Duration(int):
    """A length of time in milliseconds, written as text with its unit: "500ms", "10s", "5m", "1h", "30d"."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: object) -> "Duration":
        """Read "10s" and the like; ValueError says what is allowed."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", text.strip()) if isinstance(text, str) else None
        if match is None:
            raise ValueError('expected a duration with its unit, such as "500ms", "10s", "5m", "1h" or "30d"')
        return cls(round(float(match[1]) * _UNITS_MS[match[2]]))

    @property
    def ms(self) -> int:
        """Milliseconds as a plain int."""
        return int(self)

    def __str__(self) -> str:
        for unit in ("d", "h", "m", "s"):
            if self and self % _UNITS_MS[unit] == 0:
                return f"{self // _UNITS_MS[unit]}{unit}"
        return f"{int(self)}ms"

    __repr__ = __str__


class Secret(str):
    """Text that is never shown: repr hides it, `explain` and logs print "***"."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_. /-]{0,63}$")]
By = Literal["sensor_id", "sensor_type", "location", "asset_id", "unit", "topic"]


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every section refuses fields it does not know, so that a typing error is found at start."""


class Kafka(_Section, frozen=True):
    """Where readings come from.

    start: earliest, latest or an RFC 3339 time; used only when there is no recovery store to go on from.
    client: any librdkafka setting by its own name, for SASL and TLS ("security.protocol" and so on).
    password: becomes sasl.password; better given in the environment.
    """

    bootstrap: str = "127.0.0.1:9092"
    topics: tuple[str, ...] = ("sensors.readings",)
    group: str = "streamgauge"
    start: str = "earliest"
    max_payload_bytes: Count = 1_000_000
    client: dict[str, str | int | bool] = {}
    password: Secret = Secret("")


class EventTime(_Section, frozen=True):
    """When is it: see the guarantees in the README.

    lateness: how much older than its partition's newest reading a reading may be and still count.
    idle_after: wall-clock silence after which a caught-up partition stops holding windows back; "0s" never.
    max_ahead: how far a time stamp may lie after its Kafka message's own.
    shards_per_partition: parts a partition's sensors are split into; fixed when the recovery store is made.
    """

    lateness: Duration = Duration(10_000)
    idle_after: Duration = Duration(30_000)
    max_ahead: Duration = Duration(60_000)
    shards_per_partition: Annotated[int, msgspec.Meta(ge=1, le=256)] = 4


class Quality(_Section, frozen=True):
    """Checks on each sensor's data.

    dedup_horizon: how far behind the watermark a repeated reading is still recognised.
    gap_factor: a distance of more than this many intervals is a gap.
    stuck_after: one value for this long is a stuck sensor.
    forget_after: a sensor silent for so long is no longer expected: its groups give no more empty windows.
    dead_letter_share, dead_letter_window: more than this share refused of so many readings stops the flow.
    """

    dedup_horizon: Duration = Duration(60_000)
    gap_factor: Annotated[float, msgspec.Meta(gt=1)] = 3.0
    stuck_after: Duration = Duration(600_000)
    forget_after: Duration = Duration(3_600_000)
    dead_letter_share: Share = 0.5
    dead_letter_window: Count = 10_000


class Window(_Section, frozen=True):
    """A tumbling window, or a sliding one when `hop` is shorter than `size`. `by` are the columns it is grouped by."""

    name: Name
    size: Duration
    hop: Duration | None = None
    by: Annotated[tuple[By, ...], msgspec.Meta(min_length=1)] = ("location", "sensor_type")

    @property
    def hop_ms(self) -> int:
        """Distance of window starts; the size for a tumbling window."""
        return (self.hop or self.size).ms


class Detector(_Section, frozen=True):
    """A detector by import path: `models.rolling_z.RollingZ`, `river.anomaly.GaussianScorer`, your own.

    role: a rule and a model are stored side by side.
    threshold: raw scores of at least this flag a reading.
    params: handed to the detector as keyword arguments.
    """

    name: Name
    kind: str
    threshold: Annotated[float, msgspec.Meta(gt=0)]
    role: Literal["rule", "model"] = "model"
    params: dict[str, Any] = {}


class Assets(_Section, frozen=True):
    """Sensors that are judged together, see models/asset.py.

    by: what an asset is; readings that do not say it are not judged so.
    tick: values of a sensor are averaged over so long; a sensor may be silent for 30 ticks and still count.
    threshold: surprise from which an asset is in alarm: -log10 of the chance in its own past, 3.5 is 1 in 3,200.
    warm_up: ticks with a value before a sensor counts.
    longest: ticks in alarm after which the present is taken for the new normal.
    """

    by: Literal["asset_id", "location", "none"] = "asset_id"
    tick: Duration = Duration(5_000)
    threshold: Annotated[float, msgspec.Meta(ge=2.5)] = 3.5
    warm_up: Annotated[int, msgspec.Meta(ge=60, le=800)] = 400
    longest: Count = 1800

    def __post_init__(self) -> None:
        if not self.tick:
            raise ValueError(f"tick = {self.tick}: must be longer than 0")


class SensorType(_Section, frozen=True):
    """What is known of all sensors of one type; a sensor's own registry entry goes before it."""

    unit: str = ""
    min: float | None = None
    max: float | None = None
    interval: Duration | None = None


class Registry(_Section, frozen=True):
    """The sensor registry. file: CSV or TOML; without one the table `sensors` is read.

    unknown_types: whether a reading of a type that is configured nowhere is accepted or refused.
    """

    file: str = ""
    unknown_types: Literal["accept", "refuse"] = "accept"


class Retention(_Section, frozen=True):
    """How long rows are kept after they were stored."""

    readings: Duration = Duration(30 * 86_400_000)
    windows: Duration = Duration(730 * 86_400_000)
    others: Duration = Duration(365 * 86_400_000)


class ClickHouse(_Section, frozen=True):
    """Where rows go, over ClickHouse's HTTP interface. password is better given in the environment."""

    host: str = "127.0.0.1"
    port: Port = 8123
    database: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")] = "streamgauge"
    username: str = "default"
    password: Secret = Secret("")
    secure: bool = False
    retention: Retention = Retention()


class Worker(_Section, frozen=True):
    """How a flow runs.

    epoch: distance of snapshots, whole seconds; also how often sinks must be flushed.
    recovery_dir: where snapshots are kept.
    max_epoch_rows: readings one partition may take in per epoch, so that memory stays bounded.
    """

    epoch: Duration = Duration(10_000)
    recovery_dir: str = ".streamgauge/recovery"
    max_epoch_rows: Count = 5_000_000


DEFAULT_WINDOWS = (
    Window(name="1m", size=Duration(60_000), by=("location", "sensor_type")),
    Window(name="5m/30s", size=Duration(300_000), hop=Duration(30_000), by=("location", "sensor_type")),
    Window(name="1m by sensor", size=Duration(60_000), by=("sensor_id",)),
)
DEFAULT_DETECTORS = (
    Detector(name="z-score", kind="models.rolling_z.RollingZ", role="rule", threshold=3.0),
    Detector(name="gaussian", kind="river.anomaly.GaussianScorer", threshold=0.9973, params={"grace_period": 100}),
)
DEFAULT_TYPES = {
    "temperature": SensorType(unit="°C", min=-40, max=125),
    "humidity": SensorType(unit="%", min=0, max=100),
    "air_quality": SensorType(unit="µg/m³", min=0, max=1000),
    "pressure": SensorType(unit="hPa", min=300, max=1100),
    "co2": SensorType(unit="ppm", min=0, max=10_000),
    "vibration": SensorType(unit="mm/s", min=0, max=100),
    "power": SensorType(unit="kW", min=0, max=10_000),
}


class Settings(_Section, frozen=True):
    """Everything a flow can be told."""

    kafka: Kafka = Kafka()
    event_time: EventTime = EventTime()
    quality: Quality = Quality()
    windows: tuple[Window, ...] = DEFAULT_WINDOWS
    aggregates: tuple[str, ...] = ()
    detectors: tuple[Detector, ...] = DEFAULT_DETECTORS
    assets: Assets = Assets()
    sensor_types: dict[str, SensorType] = msgspec.field(default_factory=DEFAULT_TYPES.copy)
    registry: Registry = Registry()
    clickhouse: ClickHouse = ClickHouse()
    worker: Worker = Worker()
    simulate: SimulationConfig = SimulationConfig()
    data_dir: str = ".streamgauge"
    """Where the embedded broker and ClickHouse keep their data."""


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from a file (`streamgauge.toml` here, when there is one) and the environment.

    Raises SettingsError with one line that names the field, its value and what is allowed.
    """
    raw = _read(path)
    _override(raw, environ)
    try:
        settings = msgspec.convert(raw, Settings, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise SettingsError(_explain(error, raw)) from None
    _check(settings)
    return settings


class Sourced(NamedTuple):
    """One setting as it is in force: dotted name, value for people (secrets hidden), where it comes from."""

    name: str
    shown: str
    source: Literal["default", "file", "environment"]


def sources(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> list[Sourced]:
    """Every setting in force. Raises SettingsError as `load` does."""
    in_file = _leaves(_read(path))
    told: dict[str, Any] = {}
    _override(told, environ)
    in_environment = _leaves(told)
    found = []
    for name, value in _leaves(_plain(load(path, environ))).items():
        source: Literal["default", "file", "environment"] = "default"
        if _given(name, in_environment):
            source = "environment"
        elif _given(name, in_file):
            source = "file"
        found.append(Sourced(name, str(value), source))
    return found


def _given(name: str, given: Mapping[str, Any]) -> bool:
    return any(one == name or one.startswith(f"{name}.") or name.startswith(f"{one}.") for one in given)


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, Secret):
        return "***" if value else "(none)"
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value


def _leaves(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and (value or not name):
        below = [_leaves(one, f"{name}.{key}" if name else key) for key, one in value.items()]
        return {path: leaf for leaves in below for path, leaf in leaves.items()}
    return {name: value}


def _read(path: Path | None) -> dict[str, Any]:
    file = path or DEFAULT_FILE
    if not file.exists():
        if path is not None:
            raise SettingsError(f"configuration file {path}: no such file")
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"configuration file {file}: not valid TOML: {error}") from None


def _override(raw: dict[str, Any], environ: Mapping[str, str]) -> None:
    for variable, text in sorted(environ.items()):
        if not variable.startswith(ENV_PREFIX):
            continue
        *tables, name = variable.removeprefix(ENV_PREFIX).lower().split("__")
        table = raw
        for step in tables:
            table = table.setdefault(step, {})
            if not isinstance(table, dict):
                raise SettingsError(f"{variable}: {step} is not a table in the configuration")
        table[name] = _typed(text, old=table.get(name), tables=tables, name=name)


def _typed(text: str, *, old: Any, tables: list[str], name: str) -> Any:
    """Environment text as the type its field has: a TOML value where it parses as one other than text."""
    field_types = _field_types(tables)
    if isinstance(old, str) or field_types.get(name) in (str, Secret):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return tuple(text.split(",")) if name == "topics" else text


def _field_types(tables: list[str]) -> dict[str, Any]:
    struct: Any = Settings
    for step in tables:
        types = {f.name: f.type for f in msgspec.structs.fields(struct)}
        struct = types.get(step)
        if not (isinstance(struct, type) and issubclass(struct, msgspec.Struct)):
            return {}
    return {f.name: f.type for f in msgspec.structs.fields(struct)}


def _decode(kind: type, value: Any) -> Any:
    if kind is Duration:
        return Duration.parse(value)
    if kind is Secret:
        if not isinstance(value, str):
            raise ValueError("expected text")
        return Secret(value)
    raise NotImplementedError(kind)


def _explain(error: msgspec.ValidationError, raw: dict[str, Any]) -> str:
    message, _, path = str(error).partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    value: Any = raw
    for step in re.findall(r"[^.\[\]]+", path):
        try:
            value = value[int(step)] if isinstance(value, (list, tuple)) else value[step]
        except (KeyError, IndexError, ValueError, TypeError):
            break
    else:
        if path and not isinstance(value, dict):
            shown = "***" if "password" in path else repr(value)
            return f"{path} = {shown}: {message}"
    return f"{path or 'configuration'}: {message}"


def _check(settings: Settings) -> None:
    """What one field alone cannot say."""
    names = [w.name for w in settings.windows]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"windows.name = {name!r}: given twice; each window needs a name of its own")
    for window in settings.windows:
        if window.size.ms <= 0 or window.hop_ms <= 0:
            raise SettingsError(f"windows {window.name!r}: size and hop must be longer than 0")
        if window.hop_ms > window.size.ms:
            raise SettingsError(
                f"windows {window.name!r}: hop = {window.hop}: must be at most the size ({window.size}), "
                "else readings between windows would be lost"
            )
    if settings.worker.epoch.ms < 1000 or settings.worker.epoch.ms % 1000:
        raise SettingsError(f"worker.epoch = '{settings.worker.epoch}': must be whole seconds, at least 1s")
    if not settings.kafka.topics:
        raise SettingsError("kafka.topics = []: name at least one topic")
    names = [d.name for d in settings.detectors]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"detectors.name = {name!r}: given twice; each detector needs a name of its own")
