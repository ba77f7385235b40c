"""`streamgauge check`: the edges, as far as they are configured."""

from flows.commands.findings import Findings
from flows.settings import Http, Mqtt, Settings
from infra.mqtt.errors import need_paho


def check_mqtt(findings: Findings, mqtt: Mqtt) -> None:
    """Under a client id of its own and without a subscription: the bridge, if it runs, is not disturbed."""
    with findings.looking_at(f"MQTT broker at {mqtt.url}") as say:
        need_paho()
        from flows.ingest_mqtt import filters, mqtt_place
        from infra.mqtt.publisher import Publisher
        from infra.mqtt.template import TopicTemplate

        wanted = ", ".join(filters(mqtt))
        with Publisher(mqtt_place(mqtt), TopicTemplate(mqtt.template)) as publisher:
            say(f"MQTT {publisher.version}; the bridge will subscribe to {wanted}")


def check_http(findings: Findings, http: Http) -> None:
    """Address, keys, certificate; nothing is served."""
    with findings.looking_at(f"HTTP listener {http.listen}") as say:
        from flows.ingest_http import try_listener

        say(try_listener(http))


def check_channels(findings: Findings, settings: Settings) -> None:
    """Each channel is reached, as far as that can be without telling anybody anything."""
    for target in settings.notify.channels:
        with findings.looking_at(f"channel {target.name}") as say:
            from flows.notifier import reach

            say(reach(settings, target))
