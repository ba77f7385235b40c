"""What a device is made of: which processes, where they are, and what they are told of each other."""

import json
from collections.abc import Mapping
from pathlib import Path

from flows import edge
from flows.edge_parts import Command, Part, free_port, own_command, sparing
from flows.settings import ClickHouse, Mqtt, Settings, SettingsError
from infra.embedded.broker import Broker
from infra.embedded.mqtt import EmbeddedMqtt
from infra.embedded.service import ChildService
from infra.observe.health import parse_address

_WORKER_READY_S, _GATEWAY_READY_S = 300.0, 10.0
_GATEWAY_STOP_S = 30.0
_MARGIN_S = 5.0
_LOOPBACK = ("127.0.0.1", "localhost")


class Device:
    """config: the file that `settings` were read from. store: whether rows are kept in ClickHouse.

    Raises SettingsError.
    """

    def __init__(self, config: Path | None, settings: Settings, *, store: bool) -> None:
        edge.topics(settings)
        self._config, self._settings, self._store = config, settings, store
        self._home, self._logs = edge.home(settings), edge.home(settings) / "logs"
        self._log = Broker(edge.log_dir(settings))
        self._mqtt = self._embedded_mqtt()
        self._clickhouse = self._embedded_clickhouse()
        drain_s = settings.worker.drain_timeout.ms / 1000 + _MARGIN_S
        worker = self._command("worker", stop_s=drain_s)
        gateway = self._command("gateway", stop_s=_GATEWAY_STOP_S)
        beside = [Part(one) for one in (self._mqtt, self._clickhouse) if one is not None]
        self.parts = [
            *beside,  # what does not read the log does not end with it
            Part(self._log, base=True),
            Part(worker, wait_s=_WORKER_READY_S),
            Part(gateway, wait_s=_GATEWAY_READY_S),
        ]

    @property
    def mqtt_url(self) -> str:
        """Of the broker, embedded or not."""
        return self._settings.mqtt.url if self._mqtt is None else self._mqtt.url

    def endpoints(self) -> dict[str, object]:
        """Where services are, as flows.local notes it, once they run."""
        clickhouse = self._clickhouse
        port = self._settings.clickhouse.port if clickhouse is None else getattr(clickhouse, "port", 0)
        return {
            "bootstrap": self._log.bootstrap,
            "clickhouse_port": port,
            "mqtt_url": self.mqtt_url,
            "http_listen": self._settings.http.listen,
        }

    def story(self) -> list[str]:
        """What listens where, and what to try, as lines for people."""
        settings = self._settings
        upstream, spool = settings.edge.upstream, f"{self._home}/upstream.sqlite"
        goes_on = f"{', '.join(edge.forwarded(settings))}  ->  {upstream}  (waiting in {spool})" if upstream else "none"
        sensor = settings.mqtt.template.replace("{sensor_id}", "my-sensor")
        reading = r"""{\"value\": 21.5, \"timestamp\": $(date +%s)000}"""
        host, _, port = self.mqtt_url.rpartition("/")[2].partition(":")
        publish = f"mosquitto_pub -h {host} -p {port or 1883} -q 1"
        listen = f"mosquitto_sub -h {host} -p {port or 1883}"
        verdicts = settings.edge.verdicts_topic
        heard = ["alerts/#", *([verdicts.replace("{sensor_id}", "+")] if verdicts else [])]
        return [
            f"  MQTT        {self.mqtt_url}  readings on {settings.mqtt.template}",
            f"  alerts      {', '.join(one.topic for one in edge.channels(settings) if one.topic)}",
            f"  verdicts    {verdicts or 'not told'}",
            f"  upstream    {goes_on}",
            f"  rows        {'in ClickHouse' if self._store else 'not kept'}",
            f"  health      {'http://' + settings.observe.listen if settings.observe.listen else 'not served'}",
            f"  data        {self._home}/  (logs in logs/)",
            "  to try, in other terminals:",
            f"  {listen} -v {' '.join(f'-t {one}' for one in heard)}",
            f'  {publish} -t {sensor} -m "{reading}"',
            "  streamgauge simulate --to mqtt --location here --sensors 5 --seconds 30",
        ]

    def _command(self, name: str, *, stop_s: float) -> Command:
        given = [] if self._config is None else ["--config", str(self._config)]
        words = [*given, "edge", "--store" if self._store else "--no-store", "--part", name]
        port = free_port()
        return Command(
            name,
            own_command(*words),
            lambda: self._environment(port),
            log=self._logs / f"{name}.log",
            port=port,
            stop_s=stop_s,
        )

    def _environment(self, port: int) -> Mapping[str, str]:
        """Settings that hold on a device, whatever else is configured."""
        settings = self._settings
        told = {
            "KAFKA__BOOTSTRAP": self._log.bootstrap,
            "KAFKA__CLIENT": "{}",
            "KAFKA__TOPICS": json.dumps(settings.kafka.topics[:1]),
            "KAFKA__START": "earliest",
            "EVENT_TIME__SHARDS_PER_PARTITION": "1",
            "WORKER__RECOVERY_DIR": str(self._home / "recovery"),
            "NOTIFY__RECORD": str(self._home / "notify.sqlite"),
            "OBSERVE__LISTEN": f"127.0.0.1:{port}",
        }
        if self._mqtt is not None:
            told |= {"MQTT__URL": self._mqtt.url, "MQTT__PROTOCOL": "3.1.1"}
        if self._clickhouse is not None:
            told |= {"CLICKHOUSE__PORT": str(self.endpoints()["clickhouse_port"])}
        return sparing() | {f"STREAMGAUGE_{key}": text for key, text in told.items()}

    def _embedded_mqtt(self) -> EmbeddedMqtt | None:
        """Unless another broker is configured. It asks for no login, so it is for loopback only."""
        listen = self._settings.edge.listen
        if not listen or self._settings.mqtt.url != Mqtt().url:
            return None
        try:
            host, port = parse_address(listen)
        except ValueError as error:
            raise SettingsError(f'edge.listen: {error}, or "" for none') from None
        if host not in _LOOPBACK:
            raise SettingsError(
                f"edge.listen = '{listen}': the embedded MQTT broker asks for no login and listens on loopback only; "
                "for sensors elsewhere use Mosquitto, and name it in mqtt.url"
            )
        return EmbeddedMqtt(log=self._logs / "mqtt.log", port=port)

    def _embedded_clickhouse(self) -> ChildService | None:
        """Unless another one is configured, or none is wanted."""
        place = self._settings.clickhouse
        if not self._store or (place.host, place.port) != (ClickHouse().host, ClickHouse().port):
            return None
        from infra.embedded.clickhouse import EmbeddedClickHouse

        directory = Path(self._settings.data_dir).absolute() / "clickhouse"
        return EmbeddedClickHouse(directory, log=self._logs / "clickhouse.log")
