"""Everything a flow can be told, as frozen structs; `flows.configuration` reads them from file and environment."""

from typing import Annotated, Any, Literal

import msgspec

from flows.settings_alerts import DEFAULT_ALERTS
from flows.settings_alerts import Alert as Alert
from flows.settings_console import Console as Console
from flows.settings_edge import Edge as Edge
from flows.settings_edges import Http as Http
from flows.settings_edges import Mqtt as Mqtt
from flows.settings_grafana import Grafana as Grafana
from flows.settings_notify import Notify
from flows.settings_schemas import SchemaRegistry
from flows.settings_types import Count, Name, Port, Section, Share
from flows.settings_types import Duration as Duration
from flows.settings_types import Secret as Secret
from flows.settings_types import SettingsError as SettingsError
from infra.simulate.config import SimulationConfig

By = Literal["sensor_id", "sensor_type", "location", "asset_id", "unit", "topic"]


class Kafka(Section, frozen=True):
    """Where readings come from.

    start: earliest, latest or an RFC 3339 time; used only when there is no recovery store to go on from.
    client: any librdkafka setting by its own name, for SASL and TLS ("security.protocol" and so on).
    password: becomes sasl.password. key_password: of the client certificate's key, ssl.key.password. oauth_secret: of
        an OAuth client, sasl.oauthbearer.client.secret. Better given in the environment, or by files of their own:
        password_file and so on.
    alerts_topic: is told of every alert that opens or is resolved, at least once; made when it is not there. Empty:
        none.
    """

    bootstrap: str = "127.0.0.1:9092"
    topics: tuple[str, ...] = ("sensors.readings",)
    alerts_topic: str = "sensors.alerts"
    group: str = "streamgauge"
    start: str = "earliest"
    max_payload_bytes: Count = 1_000_000
    client: dict[str, str | int | bool] = msgspec.field(default_factory=dict)
    password: Secret = Secret("")
    key_password: Secret = Secret("")
    oauth_secret: Secret = Secret("")


class EventTime(Section, frozen=True):
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


class Quality(Section, frozen=True):
    """Checks on each sensor's data.

    dedup_horizon: how far behind the watermark a repeated reading is still recognised.
    gap_factor: a distance of more than this many intervals is a gap.
    stuck_after: one value for this long is a stuck sensor.
    forget_after: a sensor silent for so long is no longer expected: its groups give no more empty windows.
    evict_after: what is known of a sensor silent for so long is dropped, and told in the table `events`; "0s" never.
    dead_letter_share, dead_letter_window: more than this share refused of so many readings stops the flow.
    """

    dedup_horizon: Duration = Duration(60_000)
    gap_factor: Annotated[float, msgspec.Meta(gt=1)] = 3.0
    stuck_after: Duration = Duration(600_000)
    forget_after: Duration = Duration(3_600_000)
    evict_after: Duration = Duration(7 * 86_400_000)
    dead_letter_share: Share = 0.5
    dead_letter_window: Count = 10_000


class Window(Section, frozen=True):
    """A tumbling window, or a sliding one when `hop` is shorter than `size`. `by` are the columns it is grouped by."""

    name: Name
    size: Duration
    hop: Duration | None = None
    by: Annotated[tuple[By, ...], msgspec.Meta(min_length=1)] = ("location", "sensor_type")

    @property
    def hop_ms(self) -> int:
        """Distance of window starts; the size for a tumbling window."""
        return (self.hop or self.size).ms


class Drift(Section, frozen=True):
    """Watches a detector's calibrated scores, of each sensor, for a lasting change; told in the table `events`.

    kind: a drift detector of River; PageHinkley runs compiled.
    relearn: a sensor that drifts is forgotten by all detectors and learnt anew.
    """

    kind: str = "river.drift.PageHinkley"
    params: dict[str, Any] = msgspec.field(default_factory=dict)
    relearn: bool = False


class Detector(Section, frozen=True):
    """A detector by import path: ours, any of `river.anomaly`, your own.

    role: models are fused into the verdict; a challenger is scored beside them without a say; a rule flags by itself.
    threshold: of a rule only: raw scores of at least this flag a reading. Models and challengers are calibrated.
    features: the columns it is given, in this order; all when left out.
    scaled: given within 0 .. 1, scaled to the sensor's own past, instead of as measured.
    alarm_weight, score_weight: of a model's voice in the alarm and in `score`; 0 for none.
    learns: from readings that are not in alarm, so that it does not take a fault for normal, or always.
    calibrated: whether its raw scores are; not those of one that gives -log10 of a chance by itself.
    params: handed to the detector as keyword arguments.
    """

    name: Name
    kind: str
    role: Literal["rule", "model", "challenger"] = "model"
    threshold: Annotated[float, msgspec.Meta(gt=0)] | None = None
    features: tuple[str, ...] | None = None
    scaled: bool = True
    alarm_weight: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    score_weight: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    learns: Literal["calm", "always"] = "calm"
    calibrated: bool = True
    drift: Drift | None = None
    params: dict[str, Any] = msgspec.field(default_factory=dict)


class Assets(Section, frozen=True):
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


class Features(Section, frozen=True):
    """own: classes of one's own by import path, see models/feature.py; their columns follow the built-in ones."""

    own: tuple[str, ...] = ()


class Verdict(Section, frozen=True):
    """When the models together raise an alarm.

    false_alarms_per_week: at most so many are wanted of a healthy sensor, on average.
    """

    false_alarms_per_week: Annotated[float, msgspec.Meta(gt=0)] = 1.0


class SensorType(Section, frozen=True):
    """What is known of all sensors of one type; a sensor's own registry entry goes before it."""

    unit: str = ""
    min: float | None = None
    max: float | None = None
    interval: Duration | None = None


class Registry(Section, frozen=True):
    """The sensor registry. file: CSV or TOML; without one the table `sensors` is read.

    unknown_types: whether a reading of a type that is configured nowhere is accepted or refused.
    """

    file: str = ""
    unknown_types: Literal["accept", "refuse"] = "accept"


class Retention(Section, frozen=True):
    """How long rows are kept after they were stored."""

    readings: Duration = Duration(30 * 86_400_000)
    windows: Duration = Duration(730 * 86_400_000)
    others: Duration = Duration(365 * 86_400_000)


class ClickHouse(Section, frozen=True):
    """Where rows go, over ClickHouse's HTTP interface.

    password: better given in the environment, or in a file of its own by password_file.
    secure: over TLS. ca_file: who vouches for ClickHouse's certificate; the usual authorities when empty.
    cert_file, key_file: a certificate of ours, with its key; without a password it is also the login. PEM files.
    cluster: the name of a ClickHouse cluster (of its remote_servers) over which the tables are spread and replicated;
        empty: one server. See docs/clickhouse.md.
    """

    host: str = "127.0.0.1"
    port: Port = 8123
    database: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")] = "streamgauge"
    username: str = "default"
    password: Secret = Secret("")
    secure: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    cluster: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]*$")] = ""
    retention: Retention = Retention()


class Worker(Section, frozen=True):
    """How a flow runs.

    epoch: distance of snapshots, whole seconds; also how often sinks must be flushed.
    recovery_dir: where snapshots are kept.
    max_epoch_rows: readings one partition may take in per epoch, so that memory stays bounded.
    max_restarts: of a cluster (`run --processes N`) whose processes die, in a row: without having run for two epochs in
        between. Then it gives up.
    drain_timeout: how long SIGTERM or Ctrl-C may take; what has not ended then is killed.
    """

    epoch: Duration = Duration(10_000)
    recovery_dir: str = ".streamgauge/recovery"
    max_epoch_rows: Count = 5_000_000
    max_restarts: Annotated[int, msgspec.Meta(ge=0)] = 8
    drain_timeout: Duration = Duration(60_000)


class Observe(Section, frozen=True):
    """What a flow tells of itself.

    listen: "host:port" for /health/live, /health/ready and /metrics over HTTP, without login: loopback, or where only
        probes get. Nothing listens when it is empty, for two flows on one machine would want the same port.
    log_format: lines for people, or one JSON object a line.
    log_file: written beside stderr; a further process N writes into NAME-N of its own. Empty: none.
    log_max_bytes, log_backups: a file of that size is put away, and so many of them are kept.
    log_repeats: a message is said so often a minute, then counted.
    max_cpu, min_memory, min_disk: shares of the machine; beyond them for a minute (processors: five) it is degraded.
    silent_after: for `watch`: wall-clock time after which a partition, a topic or the flow is silent.
    traces: an OpenTelemetry collector that takes OTLP over HTTP, such as "http://127.0.0.1:4318"; needs the extra otel.
    """

    listen: str = ""
    log_format: Literal["text", "json"] = "text"
    log_file: str = ""
    log_max_bytes: Count = 10_000_000
    log_backups: Count = 5
    log_repeats: Count = 10
    max_cpu: Share = 0.95
    min_memory: Share = 0.05
    min_disk: Share = 0.05
    silent_after: Duration = Duration(60_000)
    traces: str = ""


DEFAULT_WINDOWS = (
    Window(name="1m", size=Duration(60_000), by=("location", "sensor_type")),
    Window(name="5m/30s", size=Duration(300_000), hop=Duration(30_000), by=("location", "sensor_type")),
    Window(name="1m by sensor", size=Duration(60_000), by=("sensor_id",)),
)
DRIFT_OF_SURPRISE: dict[str, Any] = {"delta": 0.1, "threshold": 20.0}
"""For PageHinkley: surprise is 0.43 on average, give or take 0.43, while nothing changes."""
DEFAULT_DETECTORS = (
    Detector(name="z-score", kind="models.rolling_z.RollingZ", role="rule", threshold=3.0, features=()),
    Detector(
        name="forecast",
        kind="models.forecast.SeasonalForecast",
        score_weight=0,
        features=("hour_sin", "hour_cos", "day_sin", "day_cos"),
        scaled=False,
        drift=Drift(params=DRIFT_OF_SURPRISE),
    ),
    Detector(name="level", kind="models.deviation.Deviation", score_weight=0, features=(), params={"long": 50}),
    Detector(
        name="flatness",
        kind="models.flatness.Flatness",
        alarm_weight=0.5,
        score_weight=0,
        calibrated=False,
        features=(),
    ),
    Detector(
        name="novelty",
        kind="models.novelty.Novelty",
        alarm_weight=0,
        learns="always",
        calibrated=False,
        features=("hour_sin", "hour_cos", "day_sin", "day_cos"),
        scaled=False,
    ),
    Detector(
        name="half-space trees",
        kind="river.anomaly.HalfSpaceTrees",
        alarm_weight=0,
        score_weight=0.3,
        features=("value", "delta", "std", "mean_shift"),
        params={"n_trees": 8, "height": 6},
    ),
    Detector(
        name="isolation forest",
        kind="models.isolation_forest.IsolationForest",
        alarm_weight=0,
        score_weight=0.3,
        features=("value", "delta", "std", "mean_shift"),
    ),
    Detector(
        name="autoencoder",
        kind="models.tflite.TFLite",
        alarm_weight=0,
        score_weight=0.3,
        features=("value", "delta", "std", "flatness"),
    ),
    Detector(
        name="gaussian",
        kind="river.anomaly.GaussianScorer",
        role="challenger",
        features=(),
        params={"grace_period": 100},
    ),
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


class Settings(Section, frozen=True):
    """Everything a flow can be told."""

    kafka: Kafka = Kafka()
    event_time: EventTime = EventTime()
    quality: Quality = Quality()
    windows: tuple[Window, ...] = DEFAULT_WINDOWS
    aggregates: tuple[str, ...] = ()
    features: Features = Features()
    detectors: tuple[Detector, ...] = DEFAULT_DETECTORS
    assets: Assets = Assets()
    verdict: Verdict = Verdict()
    alerts: tuple[Alert, ...] = DEFAULT_ALERTS
    notify: Notify = Notify()
    sensor_types: dict[str, SensorType] = msgspec.field(default_factory=DEFAULT_TYPES.copy)
    registry: Registry = Registry()
    schemas: SchemaRegistry = SchemaRegistry()
    clickhouse: ClickHouse = ClickHouse()
    worker: Worker = Worker()
    observe: Observe = Observe()
    simulate: SimulationConfig = SimulationConfig()
    mqtt: Mqtt = Mqtt()
    http: Http = Http()
    edge: Edge = Edge()
    grafana: Grafana = Grafana()
    console: Console = Console()
    data_dir: str = ".streamgauge"
    """Where the embedded broker and ClickHouse keep their data."""
