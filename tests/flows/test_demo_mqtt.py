"""The demo takes sensors over MQTT, and tells of alerts there: the lines it prints work when they are pasted."""

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

from tests.flows.commands import processes_in, started, streamgauge
from tests.kafka import eventually

BIN = Path(sys.executable).parent
COUNT = "SELECT count() FROM readings_final WHERE location = 'mqtt'"


def test_the_printed_lines_send_sensors_over_mqtt_and_hear_of_alerts(tmp_path: Path) -> None:
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
        listen = re.findall(r"^ +(amqtt_sub --url (mqtt://\S+) .*)$", log.read_text(), re.MULTILINE)[0]
        told = f'{{"sensor_type": "temperature", "value": 500, "timestamp": {time.time_ns() // 1_000_000}}}'
        subprocess.run(
            [BIN / "amqtt_pub", "--url", listen[1], "-t", "sensors/hot/data", "-m", told, "-q", "1"],
            capture_output=True,
            check=True,
            timeout=30,
        )
        # The state of a sensor is retained, so it does not matter who is first.
        heard = subprocess.run(
            ["sh", "-c", f"exec {listen[0].replace('alerts/#', 'alerts/hot/#')} -n 1"],
            env=os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        assert heard.strip() == "open" or '"rule":"anomaly"' in heard, heard
    finally:
        assert demo.stop() == 0, log.read_text()
    assert "the sums agree: every reading is accounted for" in log.read_text()
    assert not processes_in(tmp_path)
