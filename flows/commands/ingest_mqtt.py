"""`streamgauge ingest mqtt`: sensors that speak MQTT, into Kafka."""

import typer

from flows.commands.common import Invocation
from infra.mqtt.errors import need_paho


def mqtt(context: typer.Context) -> None:
    """Send what an MQTT broker has on `[mqtt]` topics to the first topic of Kafka, until Ctrl-C or SIGTERM.

    At least once: a message is acknowledged when Kafka has it, and while Kafka is away the broker keeps it. What the
    topic says (`sensors/{sensor_id}/data`) fills what the payload does not. See docs/mqtt.md.

    **Example**: `STREAMGAUGE_MQTT__URL=mqtt://mosquitto:1883 streamgauge ingest mqtt`
    """
    need_paho()
    from flows.ingest_mqtt import bridge_until, filters
    from flows.observing import set_up_logs
    from infra.signals import stop_on_signals

    invocation: Invocation = context.obj
    settings = invocation.settings
    set_up_logs(settings, "mqtt")
    stop = stop_on_signals()
    wanted = ", ".join(filters(settings.mqtt))
    typer.echo(f"{settings.mqtt.url}  {wanted}  ->  {settings.kafka.bootstrap}  {settings.kafka.topics[0]}")
    again = bridge_until(settings, stop)
    if again:
        typer.echo(f"{again:,} messages did not reach Kafka; the MQTT broker sends them again")
