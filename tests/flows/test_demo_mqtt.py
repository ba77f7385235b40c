"""The demo takes sensors over MQTT: the line it prints works when it is pasted."""

import re
import shlex
from pathlib import Path

from tests.flows.commands import processes_in, started, streamgauge
from tests.kafka import eventually

COUNT = "SELECT count() FROM readings_final WHERE location = 'mqtt'"


def test_the_printed_line_sends_sensors_over_mqtt(tmp_path: Path) -> None:
    env, log = {"STREAMGAUGE_DATA_DIR": str(tmp_path / "data")}, tmp_path / "demo.log"
    demo = started("demo", "--history", "1m", "--rate", "20", env=env, log=log)
    try:
        assert eventually(lambda: "live now" in log.read_text(), within_s=90), log.read_text()
        assert re.search(r"MQTT +mqtt://127\.0\.0\.1:\d+ +topic sensors/\{sensor_id\}/data", log.read_text())
        line = re.findall(r"^ +streamgauge (simulate --to .*)$", log.read_text(), re.MULTILINE)[0]
        sent = streamgauge(*shlex.split(line.replace("--seconds 30", "--seconds 1")), env=env)
        assert sent.returncode == 0, sent.stderr
        messages = re.findall(r"^([\d,]+) messages to mqtt://", sent.stdout)[0]

        def stored() -> str:
            return streamgauge("query", "-f", "csv", COUNT, env=env).stdout.split()[-1]

        assert eventually(lambda: stored() == messages.replace(",", ""), within_s=60), stored()
    finally:
        assert demo.stop() == 0, log.read_text()
    assert "the sums agree: every reading is accounted for" in log.read_text()
    assert not processes_in(tmp_path)
