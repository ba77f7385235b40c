"""The demo and the embedded services as a newcomer meets them."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from signal import SIGINT

import pytest

from tests.flows.commands import processes_in, started, streamgauge
from tests.kafka import eventually
from tests.processes import running

AGREE = "the sums agree: every reading is accounted for"
SHORT = ("demo", "--history", "2m", "--rate", "50")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where one demo leaves its data and the next one finds it."""
    return tmp_path_factory.mktemp("demo") / "data"


@pytest.fixture
def env(data_dir: Path) -> Iterator[dict[str, str]]:
    """The data directory as a setting; afterwards no process works in it any more."""
    yield {"STREAMGAUGE_DATA_DIR": str(data_dir)}
    assert not processes_in(data_dir)


def count_of(what: str, summary: str) -> int:
    """A figure of the summary."""
    found = re.search(rf"{re.escape(what)}\s+([\d,]+)", summary)
    assert found, summary
    return int(found[1].replace(",", ""))


def test_a_demo_ends_with_a_summary_that_adds_up_and_its_data_can_be_queried(env: dict[str, str]) -> None:
    demo = streamgauge(*SHORT, "--seconds", "3", env=env)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert AGREE in demo.stdout
    ends = [count_of(name, demo.stdout) for name in ("= on time", "+ late", "+ duplicates", "+ rejected")]
    readings = count_of("readings in", demo.stdout)
    assert readings == sum(ends)
    assert readings > 120 * 50 * 0.9
    assert ends[1] < 0.05 * readings, "no partition was taken for idle while its history was on its way"
    for name in ("z-score", "= rules", "= models", "= verdict"):
        assert re.search(rf"^ *{name} +[\d,]+ +\d+\.\d%", demo.stdout, re.MULTILINE), demo.stdout
    assert count_of("windows closed", demo.stdout) > 0
    sql = "SELECT (SELECT count() FROM readings_final) AS readings, (SELECT count() FROM windows_final) AS windows"
    kept = streamgauge("query", "-f", "csv", sql, env=env)
    assert kept.stdout.split()[1] == f"{ends[0] + ends[1]},{count_of('windows closed', demo.stdout)}", kept.stderr


def test_a_second_demo_goes_on_and_ctrl_c_ends_it_with_the_summary(data_dir: Path, env: dict[str, str]) -> None:
    log = data_dir.parent / "second.log"
    demo = started(*SHORT, env=env, log=log)
    try:
        assert eventually(lambda: "live now" in log.read_text(), within_s=60), log.read_text()
        assert eventually(lambda: "readings/s" in log.read_text(), within_s=60), log.read_text()
        os.kill(demo.pid, SIGINT)
        assert demo.wait(60) == 0, log.read_text()
    finally:
        demo.stop()
    summary = log.read_text()
    assert AGREE in summary
    assert "Traceback" not in summary
    assert count_of("readings in", summary) > 0


def test_up_replay_run_and_query_find_each_other(tmp_path: Path) -> None:
    env = {"STREAMGAUGE_DATA_DIR": str(tmp_path / "data"), "STREAMGAUGE_WORKER__RECOVERY_DIR": str(tmp_path / "store")}
    file = tmp_path / "hall.csv"
    file.write_text("time,value\n" + "".join(f"2026-01-01T00:{i // 60:02}:{i % 60:02}Z,{i}.5\n" for i in range(600)))
    log = tmp_path / "up.log"
    up = started("up", env=env, log=log)
    try:
        assert eventually(lambda: "Ctrl-C stops them" in log.read_text()), log.read_text()
        replay = streamgauge("replay", file, env=env)
        assert replay.returncode == 0, replay.stderr
        assert "600" in replay.stdout
        run = streamgauge("run", "sensors", "--until-end", env=env)
        assert run.returncode == 0, run.stderr
        sql = "SELECT count(), sum(value) FROM readings_final"
        asked = streamgauge("query", "-f", "csv", sql, env=env)
        assert asked.stdout.split()[1] == "600,180000.0", asked.stderr
        assert running(up.pid)
    finally:
        assert up.stop() == 0, log.read_text()
    assert not processes_in(tmp_path)
