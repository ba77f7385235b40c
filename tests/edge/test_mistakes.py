"""What a user can do wrong with `streamgauge edge`: one line each, before anything runs."""

import json
import os
from pathlib import Path

import msgspec
import pytest

from flows import edge
from flows.edge_device import Device
from flows.edge_parts import noted
from flows.settings import Edge, Kafka, Mqtt, Settings, SettingsError
from flows.settings_notify import Notify, Target
from infra.embedded.process import ChildFailed
from tests.flows.commands import processes_in, streamgauge


def test_the_embedded_mqtt_broker_is_for_loopback() -> None:
    with pytest.raises(SettingsError, match=r"asks for no login .* name it in mqtt\.url"):
        Device(None, Settings(edge=Edge(listen="0.0.0.0:1883")), store=False)
    with pytest.raises(SettingsError, match=r"edge\.listen: '1883' is no address"):
        Device(None, Settings(edge=Edge(listen="1883")), store=False)


def test_where_another_broker_is_configured_none_is_started(tmp_path: Path) -> None:
    own = Settings(data_dir=str(tmp_path))
    assert [part.service.name for part in Device(None, own, store=False).parts] == [
        "mqtt",
        "broker",
        "worker",
        "gateway",
    ]
    for settings in (
        msgspec.structs.replace(own, mqtt=Mqtt(url="mqtt://mosquitto:1883")),
        msgspec.structs.replace(own, edge=Edge(listen="")),
    ):
        device = Device(None, settings, store=False)
        assert [part.service.name for part in device.parts] == ["broker", "worker", "gateway"]
        assert device.mqtt_url == settings.mqtt.url


def test_alerts_have_a_topic() -> None:
    with pytest.raises(SettingsError, match=r"kafka\.alerts_topic"):
        Device(None, Settings(kafka=Kafka(alerts_topic="")), store=False)


def test_alerts_are_told_over_mqtt_unless_a_channel_of_ones_own_does() -> None:
    mail = Target(name="mail", url="http://x")
    assert [one.name for one in edge.channels(Settings(notify=Notify(channels=(mail,))))] == ["mail", "device"]
    floor = Target(name="floor", topic="a/{sensor_id}")
    assert edge.channels(Settings(notify=Notify(channels=(floor,)))) == (floor,)


def test_only_what_is_read_is_written() -> None:
    assert set(edge.readers(Settings())) == {"sensors.readings", "sensors.alerts", "sensors.verdicts"}
    thin = Settings(edge=Edge(upstream="x:1", forward=("windows",), verdicts_topic=""))
    assert edge.readers(thin)["sensors.windows"] == (edge.FORWARDING,)
    assert edge.readers(thin)["sensors.readings"] == ("streamgauge",)
    assert "sensors.verdicts" not in edge.readers(thin)


def test_two_do_not_share_a_directory(tmp_path: Path) -> None:
    file = tmp_path / "endpoints.json"
    with noted(file) as note:
        note({"bootstrap": "x:1"})
        assert json.loads(file.read_text()) == {"pid": os.getpid(), "bootstrap": "x:1"}
        with pytest.raises(ChildFailed, match=rf"process {os.getpid()} uses it"), noted(file):
            pass
        assert file.exists()
    assert not file.exists()


def test_what_a_part_cannot_start_with_ends_the_command_with_its_words(tmp_path: Path) -> None:
    env = {
        "STREAMGAUGE_DATA_DIR": str(tmp_path),
        "STREAMGAUGE_EDGE__LISTEN": "127.0.0.1:0",
        "STREAMGAUGE_DETECTORS": '[{name = "x", kind = "models.nothing.Here"}]',
    }
    told = streamgauge("--config", os.devnull, "edge", "--no-store", env=env)
    assert (told.returncode, told.stderr.count("\n")) == (1, 1), told.stderr
    assert told.stderr.startswith("error detector x: ")
    assert not processes_in(tmp_path)
