"""From settings to the objects a flow's steps are made of; one factory per step."""

from collections.abc import Sequence

from flows.ports import Ports
from flows.settings import Detector, Drift, Settings
from models.asset import AssetModel
from models.catalog import build as build_detector
from models.catalog import build_drift
from models.detector import Particular
from models.feature import Feature
from models.importing import KindError
from operators.aggregates import load_aggregate
from operators.alert_rules import AlertRule
from operators.alerts import AlertShard
from operators.assets import AssetShard, TickStore
from operators.cadence import Cadence
from operators.clock import Announcer, PartitionClock
from operators.detect import Detection
from operators.episodes import Episodes
from operators.features import Features, load_feature
from operators.intake import IntakeConfig, PartitionIntake, SourceState
from operators.panel import DriftWatch, NamedDetector
from operators.panes import PaneStore, WindowSpec, pane_ms_of
from operators.quality import QualityChecks
from operators.records import RULES
from operators.registry import Registry
from operators.sensors import SensorShard
from operators.shards import stable_hash
from operators.verdict import Verdict, Voice
from operators.windows import WINDOW_NUMBERS, WindowShard

WINDOW_SHARDS = 8
"""Parts the groups of windows are split into; fixed, because state lives by it."""


def window_specs(settings: Settings) -> tuple[WindowSpec, ...]:
    """The configured windows as operators know them."""
    return tuple(WindowSpec(w.name, w.size.ms, w.hop_ms, tuple(sorted(w.by))) for w in settings.windows)


def named_detectors(settings: Settings) -> list[NamedDetector]:
    """Fresh detectors as configured. Raises KindError for one that cannot be built."""
    known = Features(own_features(settings)).names
    return [_named(one, known) for one in settings.detectors]


def own_features(settings: Settings) -> list[Feature]:
    """Fresh features of one's own as configured. Raises KindError for one that cannot be built."""
    return [load_feature(path) for path in settings.features.own]


def _named(one: Detector, known: tuple[str, ...]) -> NamedDetector:
    features = known if one.features is None else one.features
    for name in features:
        if name not in known:
            raise KindError(f"detector {one.name}: no feature {name!r}; there are {', '.join(known)}")
    try:
        detector = build_detector(one.kind, features, one.params)
        drift = None if one.drift is None else _drift(one.drift)
    except KindError as error:
        raise KindError(f"detector {one.name}: {error}") from error
    if isinstance(detector, Particular) and detector.scaled != one.scaled:
        told = "scaled to each sensor's own past" if detector.scaled else "as measured"
        raise KindError(
            f"detector {one.name}: its model takes features {told}, configured is scaled = {str(one.scaled).lower()}: "
            f"set scaled = {str(detector.scaled).lower()}"
        )
    return NamedDetector(one.name, one.role, detector, features, one.threshold, one.scaled, drift, one.learns)


def _drift(one: Drift) -> DriftWatch:
    return DriftWatch(build_drift(one.kind, one.params), one.relearn)


def detection(settings: Settings) -> Detection:
    """The detectors of one shard with their verdict. Raises KindError for one that cannot be built."""
    voices = [_voice(one) for one in settings.detectors]
    verdict = Verdict(voices, false_alarms_per_week=settings.verdict.false_alarms_per_week)
    return Detection(named_detectors(settings), verdict=verdict, own_features=own_features(settings))


def _voice(one: Detector) -> Voice:
    if one.role != "model":
        return Voice(0.0, 0.0, calibrated=one.calibrated)
    return Voice(one.alarm_weight, one.score_weight, calibrated=one.calibrated)


def alert_rules(settings: Settings, aggregates: Sequence[str]) -> list[AlertRule]:
    """As configured. aggregates: names of those of one's own. Raises KindError for a column windows do not have."""
    rules = [one.rule for one in settings.alerts]
    columns = (*WINDOW_NUMBERS, *aggregates)
    for rule in rules:
        if rule.on == "window" and rule.column not in columns:
            raise KindError(
                f"alert {rule.name}: windows have no column {rule.column!r}; there are {', '.join(columns)}"
            )
    return rules


class Parts:
    """Factories for one flow."""

    def __init__(self, settings: Settings, ports: Ports, *, generation: int = 0) -> None:
        self._settings = settings
        self._sources = ports.partitions
        self._registry: Registry = ports.registry
        self._schemas = ports.schemas
        self._generation = generation
        self._windows = window_specs(settings)
        self._pane_ms = pane_ms_of(self._windows)
        self._aggregates = [load_aggregate(path) for path in settings.aggregates]
        self._alerts = alert_rules(settings, [one.name for one in self._aggregates])

    def intake(self, topic: str, partition: int, state: SourceState | None) -> PartitionIntake:
        """What the source does with one partition."""
        times, quality = self._settings.event_time, self._settings.quality
        config = IntakeConfig(
            lateness_ms=times.lateness.ms,
            max_ahead_ms=times.max_ahead.ms,
            max_payload_bytes=self._settings.kafka.max_payload_bytes,
            dead_letter_share=quality.dead_letter_share,
            dead_letter_window=quality.dead_letter_window,
        )
        return PartitionIntake(
            topic, partition, config=config, registry=self._registry, state=state, schemas=self._schemas
        )

    def announcer(self) -> Announcer:
        """What tells partitions of each other's time."""
        return Announcer(sources=self._sources, pane_ms=self._pane_ms)

    def clock(self, source: str) -> PartitionClock:
        """The clock of one partition."""
        return PartitionClock(
            source,
            sources=self._sources,
            pane_ms=self._pane_ms,
            shards=self._settings.event_time.shards_per_partition,
            generation=self._generation,
        )

    def sensor_shard(self, name: str) -> SensorShard:
        """One shard of one partition."""
        quality = self._settings.quality
        source, _, _ = name.rpartition("/")
        topic, _, partition = source.rpartition("/")
        bys = tuple(dict.fromkeys(window.by for window in self._windows))
        return SensorShard(
            name,
            registry=self._registry,
            checks=QualityChecks(dedup_horizon_ms=quality.dedup_horizon.ms, stuck_after_ms=quality.stuck_after.ms),
            cadence=Cadence(gap_factor=quality.gap_factor, forget_after_ms=quality.forget_after.ms),
            detection=detection(self._settings),
            panes=PaneStore(
                # Unique over topics and the same for good: it breaks ties of first and last.
                partition=(stable_hash(topic) << 20) + int(partition),
                pane_ms=self._pane_ms,
                bys=bys,
                window_shards=WINDOW_SHARDS,
                topic=topic,
                aggregates=self._aggregates,
                ticks=self._tick_store(),
            ),
            episodes=self._episodes(source),
            evict_after_ms=quality.evict_after.ms,
            generation=self._generation,
        )

    def _episodes(self, source: str) -> Episodes:
        """Alerts on the sensors of one shard."""
        detectors = self._settings.detectors
        return Episodes(
            self._alerts,
            source=source,
            detectors=[*(one.name for one in detectors), *RULES],
            raw=[one.name for one in detectors if one.role == "rule"],
            pane_ms=self._pane_ms,
            shards=WINDOW_SHARDS,
            generation=self._generation,
        )

    def window_shard(self) -> WindowShard:
        """One part of the groups."""
        shards = range(self._settings.event_time.shards_per_partition)
        return WindowShard(
            windows=self._windows,
            sources=[f"{source}/{k}" for source in self._sources for k in shards],
            generation=self._generation,
            aggregates=self._aggregates,
            assets=self._asset_shard(),
            alerts=AlertShard(self._alerts, pane_ms=self._pane_ms, generation=self._generation),
        )

    def _tick_store(self) -> TickStore | None:
        """What a sensor shard keeps for the verdicts on assets."""
        assets = self._settings.assets
        if assets.by == "none":
            return None
        return TickStore(by=assets.by, tick_ms=assets.tick.ms, shards=WINDOW_SHARDS)

    def _asset_shard(self) -> AssetShard | None:
        """One part of the assets."""
        assets = self._settings.assets
        if assets.by == "none":
            return None
        model = AssetModel(threshold=assets.threshold, warm_up=assets.warm_up, longest=assets.longest)
        return AssetShard(by=assets.by, tick_ms=assets.tick.ms, model=model, generation=self._generation)
