"""The benchmark of the MQTT bridge runs."""

from rich.console import Console

from tests.bench import mqtt
from tests.mqtt import needs_mosquitto


@needs_mosquitto
def test_it_measures_a_few_messages() -> None:
    console = Console(record=True, width=200)
    [(_, told)] = mqtt.run(messages=500, repeat=1, console=console)
    assert "QoS 1 readings/s" in told
    assert told in console.export_text()
