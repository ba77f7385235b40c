"""Whether the world still speaks, seen from outside: Kafka says what comes in, the group's offsets what was read.

Apart from the flow, for a flow cannot say that it is dead, and its tables must not depend on the wall clock.
"""

import logging
import time
from collections.abc import Callable, Sequence

from flows.health_alerts import HealthAlerts, HealthChange
from flows.settings import Settings
from infra.clickhouse.client import Address, ClickHouseError, Client, Outage, connect
from infra.clickhouse.events import Event, last_counted_s, open_silences, store
from infra.kafka.admin import Lag, group_lag, newest_times_ms
from infra.kafka.client import Connection
from infra.observe.liveness import Change, Liveness, Sign
from infra.observe.metrics import SILENT

logger = logging.getLogger(__name__)


class Watch:
    """Looks at one flow's topics and group.

    never_s: Unix time at which what was never heard of counts as heard.
    clock_s: the wall clock.
    """

    def __init__(
        self,
        settings: Settings,
        kafka: Connection,
        clickhouse: Address,
        *,
        never_s: float = 0.0,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._kafka = kafka
        self._clickhouse = clickhouse
        self._never_s = never_s
        self._clock_s = clock_s
        self._outage = Outage(str(clickhouse))
        self._client: Client | None = None
        self._liveness: Liveness | None = None
        self._newest_s: dict[tuple[str, int], float] = {}
        self._counted_s = 0.0
        self._untold: list[Change] = []
        self._alerts = HealthAlerts(settings)

    @property
    def silent(self) -> list[str]:
        """What is silent now."""
        return [] if self._liveness is None else self._liveness.silent

    def look(self) -> list[Change]:
        """What has changed since the last look: logged, counted, stored in `events` and as alerts.

        ClickHouse may be away: it is told later. Raises KafkaFailure when Kafka cannot be asked.
        """
        topics = self._settings.kafka.topics
        lags = group_lag(self._kafka, self._settings.kafka.group, topics)
        if self._liveness is None:
            newest_ms = newest_times_ms(self._kafka, topics)
            self._newest_s = {place: time_ms / 1000 for place, time_ms in newest_ms.items()}
            self._liveness = self._begin(topics)
        changes = self._liveness.observe(self._clock_s(), self._signs(lags))
        for change in changes:
            level = logging.WARNING if change.kind == "silent" else logging.INFO
            logger.log(level, "%s: %s: %s", change.kind.replace("_", " "), change.subject, change.detail)
        self._untold += changes
        for kind in ("partition", "plant", "flow"):
            SILENT.labels(kind).set(sum(subject.startswith(f"{kind} ") for subject in self._liveness.silent))
        if self._untold and self._asked(self._tell):
            self._untold = []
        return changes

    def _tell(self, client: Client) -> None:
        store(client, [Event(round(one.at_s * 1000), one.kind, one.subject, one.detail) for one in self._untold])
        self._alerts.tell(client, [_health_change(one) for one in self._untold])

    def close(self) -> None:
        """No more looks."""
        if self._client is not None:
            self._client.close()

    def _begin(self, topics: Sequence[str]) -> Liveness:
        """Go on from what an earlier run has told; without ClickHouse, afresh."""
        silent: list[str] = []

        def ask(client: Client) -> None:
            silent.extend(open_silences(client))
            self._counted_s = last_counted_s(client, topics)

        self._asked(ask)
        return Liveness(self._settings.observe.silent_after.ms / 1000, silent=silent)

    def _signs(self, lags: Sequence[Lag]) -> list[Sign]:
        """A partition that never held a message is not waited for: a few sensors do not fill all of them."""
        used = [lag for lag in lags if lag.high > 0]
        signs = [Sign("partition", f"{lag.topic}/{lag.partition}", lag.high, self._heard_s([lag])) for lag in used]
        for topic in self._settings.kafka.topics:
            of_topic = [lag for lag in lags if lag.topic == topic]
            signs.append(Sign("plant", topic, sum(lag.high for lag in of_topic), self._heard_s(of_topic)))
        read = sum(lag.committed or 0 for lag in lags)
        due = any(lag.messages for lag in lags)
        signs.append(Sign("flow", self._settings.kafka.group, read, self._counted_s or self._never_s, due))
        return signs

    def _heard_s(self, lags: Sequence[Lag]) -> float:
        return max((self._newest_s.get((lag.topic, lag.partition), 0.0) for lag in lags), default=0.0) or self._never_s

    def _asked(self, question: Callable[[Client], None]) -> bool:
        """Whether ClickHouse has answered; that it does not is said once."""
        try:
            self._client = self._client or connect(self._clickhouse)
            question(self._client)
        except ClickHouseError as error:
            self._outage.failed(error, held="what falls silent is in the log only meanwhile")
            return False
        self._outage.over()
        return True


def _health_change(change: Change) -> HealthChange:
    kind, _, name = change.subject.partition(" ")
    return HealthChange(
        rule=f"silent {kind}",
        subject=(kind, name),
        at_ms=round(change.at_s * 1000),
        over=change.kind == "heard_again",
        severity="warning" if kind == "partition" else "critical",
        detail=change.detail,
    )
