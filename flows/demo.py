"""The demo: embedded services, a worker, an hour of simulated history, then live sensors, a summary that adds up."""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import median, quantiles
from threading import Event, Thread

from flows.places import clickhouse_address, connection
from flows.settings import Settings
from flows.story import Pulse, Rightness, Story, Summary
from infra.embedded.process import ChildProcess
from infra.embedded.supervisor import Supervisor
from infra.kafka.admin import group_lag
from infra.kafka.producer import Producer
from infra.simulate.runner import history, live, wall_clock_ms
from infra.simulate.simulation import Simulation

_EPOCH = "2s"
_POLL_S = 1.0
ALERTS = "alerts/{sensor_id}/notification"
"""Where alerts are told over MQTT."""
_FIRST_ROWS = 5_000


@dataclass
class Course:
    """How the demo went. freshness_s: age of the newest stored reading, each time it was looked at while live."""

    history_messages: int = 0
    history_s: float = 0.0
    live_messages: int = 0
    live_s: float = 0.0
    freshness_s: list[float] = field(default_factory=list)

    @property
    def freshness(self) -> tuple[float, float] | None:
        """Median and 95th percentile, seconds; None when it was not looked at often enough."""
        if len(self.freshness_s) < 3:
            return None
        return median(self.freshness_s), quantiles(self.freshness_s, n=20)[-1]


class Demo:
    """A worker and a simulator on prepared services; what the supervisor's stop flag ends is waiting and living."""

    def __init__(self, settings: Settings, supervisor: Supervisor) -> None:
        self.settings = settings
        self.course = Course()
        self._supervisor = supervisor
        self._stop = supervisor.stop
        self._simulation = Simulation(settings.simulate)
        self._producer = Producer(connection(settings))
        self._story = Story(clickhouse_address(settings))
        self._problem: Exception | None = None

    def send_history(self, past_ms: int, config: Path | None, on_progress: Callable[[float], None]) -> None:
        """So much past, or what is missing of it since an earlier demo, at full speed; on_progress: share done.

        The worker starts when each partition holds some: an empty one would count as idle and hold no window back.
        """
        self._now_ms = wall_clock_ms()
        newest_ms = self._story.newest_ms()
        begin_ms = max(self._now_ms - past_ms, 0 if newest_ms is None else min(newest_ms + 1, self._now_ms))
        span_ms = max(1, self._now_ms - begin_ms)
        self._history_began_s = time.monotonic()
        first_ms = min(self._now_ms, begin_ms + self._simulation.rows_to_ms(_FIRST_ROWS))

        def send(from_ms: int, to_ms: int) -> None:
            self.course.history_messages += history(
                self._simulation,
                self._producer,
                topic=self.settings.kafka.topics[0],
                from_ms=from_ms,
                to_ms=to_ms,
                stop=self._stop,
                on_progress=lambda done_ms: on_progress((done_ms - begin_ms) / span_ms),
            )

        send(begin_ms, first_ms)
        self._start_worker(config)
        self._start_bridge()
        self._start_http()
        self._start_console(config)
        self._start_notifier()
        send(first_ms, self._now_ms)

    def _start_worker(self, config: Path | None) -> None:
        """The flow, in a process of its own, as in production."""
        data_dir = Path(self.settings.data_dir).absolute()
        given = [] if config is None else ["--config", str(config)]
        environment = {
            "WORKER__EPOCH": _EPOCH,
            # For a few dozen sensors: an hour of history is worked off in batches, not reading by reading.
            "EVENT_TIME__SHARDS_PER_PARTITION": "1",
            "WORKER__RECOVERY_DIR": str(data_dir / "recovery"),
            "OBSERVE__LISTEN": self.settings.console.workers[0],
        }
        worker = self._command("worker", [*given, "run", "sensors"], environment, stop_timeout_s=60)
        self._worker = self._supervisor.start(worker)

    def _start_bridge(self) -> None:
        """From the embedded MQTT broker; a configuration file may speak of another one, so it is given none."""
        mqtt = self.settings.mqtt
        environment = {"MQTT__URL": mqtt.url, "MQTT__PROTOCOL": mqtt.protocol}
        bridge = self._command("ingest-mqtt", ["--config", os.devnull, "ingest", "mqtt"], environment)
        self._bridge = self._supervisor.start(bridge, may_end=True)  # before the worker, which reads what it has left

    def _start_http(self) -> None:
        """The HTTP service, where its packages are installed."""
        self._http: ChildProcess | None = None
        if find_spec("fastapi") is None:
            return
        environment = {"HTTP__LISTEN": self.settings.http.listen}
        service = self._command("ingest-http", ["--config", os.devnull, "ingest", "http"], environment)
        self._http = self._supervisor.start(service, may_end=True)

    def _start_console(self, config: Path | None) -> None:
        """The pages, where their packages are installed; they know the detectors by the configuration."""
        self._console: ChildProcess | None = None
        if find_spec("fastapi") is None:
            return
        console = self.settings.console
        given = [] if config is None else ["--config", str(config)]
        environment = {"CONSOLE__LISTEN": console.listen, "CONSOLE__WORKERS": json.dumps(console.workers)}
        service = self._command("console", [*given, "console"], environment)
        self._console = self._supervisor.start(service, may_end=True)

    def _start_notifier(self) -> None:
        """Alerts go to the embedded MQTT broker, where everybody may listen; it waits until the worker has any."""
        settings = self.settings
        if not settings.kafka.alerts_topic:
            return
        environment = {
            "MQTT__URL": settings.mqtt.url,
            "MQTT__PROTOCOL": settings.mqtt.protocol,
            "KAFKA__ALERTS_TOPIC": settings.kafka.alerts_topic,
            "NOTIFY__CHANNELS": f'[{{ name = "mqtt", topic = "{ALERTS}", severity = "info" }}]',
            "NOTIFY__RECORD": str(Path(settings.data_dir).absolute() / "notify.sqlite"),
        }
        notifier = self._command("notify", ["--config", os.devnull, "notify"], environment)
        self._supervisor.start(notifier, may_end=True)

    def _command(
        self, name: str, arguments: list[str], environment: dict[str, str], *, stop_timeout_s: float = 10.0
    ) -> ChildProcess:
        """`streamgauge ...` on the embedded services; environment: more settings, without their prefix."""
        settings = self.settings
        given = environment | {
            "DATA_DIR": settings.data_dir,
            "KAFKA__BOOTSTRAP": settings.kafka.bootstrap,
            "KAFKA__TOPICS": json.dumps(settings.kafka.topics),
            "CLICKHOUSE__HOST": settings.clickhouse.host,
            "CLICKHOUSE__PORT": str(settings.clickhouse.port),
            "CLICKHOUSE__DATABASE": settings.clickhouse.database,
        }
        return ChildProcess(
            name,
            [sys.executable, "-m", "flows.cli", *arguments],
            log=Path(settings.data_dir).absolute() / "logs" / f"{name}.log",
            env={f"STREAMGAUGE_{key}": text for key, text in given.items()},
            stop_timeout_s=stop_timeout_s,
        )

    def catch_up(self, on_progress: Callable[[int], None]) -> None:
        """Wait until the flow has read everything; on_progress: messages still to be read."""
        self._wait_until_read(on_progress)
        self.course.history_s = time.monotonic() - self._history_began_s
        # What the sensors have said meanwhile is history too; live is what comes from now on.
        begin_ms, self._now_ms = self._now_ms, wall_clock_ms()
        topic = self.settings.kafka.topics[0]
        history(self._simulation, self._producer, topic=topic, from_ms=begin_ms, to_ms=self._now_ms, stop=self._stop)
        self._wait_until_read(on_progress)

    def _wait_until_read(self, on_progress: Callable[[int], None]) -> None:
        while not self._stop.is_set():
            self._supervisor.check()
            lag = self._lag()
            on_progress(lag)
            if lag == 0:
                break
            self._stop.wait(0.2)

    def live(self, seconds: float | None, show: Callable[[Pulse], None]) -> None:
        """Sensors as time goes by, until `stop`, or for so many seconds."""
        began_s = time.monotonic()
        ended = Event()
        thread = Thread(target=self._send_live, args=(ended,), name="simulator", daemon=True)
        thread.start()
        try:
            while not self._stop.is_set() and (seconds is None or time.monotonic() - began_s < seconds):
                self._supervisor.check()
                pulse = self._story.pulse()
                if pulse.newest_ms is not None:
                    self.course.freshness_s.append((wall_clock_ms() - pulse.newest_ms) / 1000)
                show(pulse)
                self._stop.wait(_POLL_S)
        finally:
            ended.set()
            thread.join()
            self.course.live_s = time.monotonic() - began_s
        if self._problem is not None:
            raise self._problem

    def _send_live(self, ended: Event) -> None:
        try:
            topic = self.settings.kafka.topics[0]
            self.course.live_messages = live(
                self._simulation, self._producer, topic=topic, from_ms=self._now_ms, stop=ended
            )
        except Exception as error:
            self._problem = error
            self._stop.set()

    def finish(self) -> tuple[Summary, list[Rightness]]:
        """Let the flow read what is left, drain it, count, and compare verdicts with the truth."""
        self._bridge.stop()
        if self._http is not None:
            self._http.stop()
        deadline_s = time.monotonic() + 60
        while self._lag() and time.monotonic() < deadline_s:
            self._supervisor.check()
            time.sleep(0.2)
        self._worker.stop()
        if self._console is not None:
            self._console.stop()
        return self._story.summary(), self._story.comparison()

    def close(self) -> None:
        """Let go of the connections."""
        self._producer.close()
        self._story.close()

    def _lag(self) -> int:
        kafka = self.settings.kafka
        return sum(lag.messages for lag in group_lag(connection(self.settings), kafka.group, kafka.topics))
