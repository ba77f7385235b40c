"""The demo takes readings over HTTP: the lines it prints work when they are pasted."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from signal import SIGINT

import pytest

from tests.flows.commands import started
from tests.kafka import eventually


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_lines_for_curl_work_when_pasted(tmp_path: Path) -> None:
    log = tmp_path / "demo.log"
    env = {"STREAMGAUGE_DATA_DIR": str(tmp_path / "data")}
    demo = started("demo", "--history", "1m", "--rate", "20", env=env, log=log)
    try:
        assert eventually(lambda: "live now" in log.read_text(), within_s=90), log.read_text()
        send, ask = re.findall(r"^ +(curl .*)$", log.read_text(), re.MULTILINE)
        assert '"accepted":1' in _pasted(send), log.read_text()
        assert eventually(lambda: "my-sensor" in _pasted(ask), within_s=60), _pasted(ask)
        os.kill(demo.pid, SIGINT)
        assert demo.wait(60) == 0, log.read_text()
    finally:
        demo.stop()
    assert "the sums agree" in log.read_text()


def _pasted(line: str) -> str:
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True, timeout=60).stdout
