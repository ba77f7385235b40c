"""systemd's units: clean by systemd-analyze, little exposed, with commands that our own CLI understands."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.deploy import requirements
from tests.deploy.commands import CONFIG, parsed

FOLDER = Path(requirements.__file__).parent / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
PROGRAM = "/opt/streamgauge/bin/streamgauge"
MOST_EXPOSED = 2.0
"""Of 10; by systemd itself "OK" up to 4.9."""

analyzed = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze not found (Debian: systemd)"
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units in a folder, with the program where it is here: systemd looks whether it is there."""
    folder = tmp_path_factory.mktemp("units")
    program = str(Path(sys.executable).parent / "streamgauge")
    for unit in UNITS:
        (folder / unit.name).write_text(unit.read_text(encoding="utf-8").replace(PROGRAM, program), encoding="utf-8")
    return folder


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


def test_there_is_a_unit_for_each_service() -> None:
    names = {unit.stem.removeprefix("streamgauge-") for unit in UNITS}
    assert {"worker", "ingest-mqtt", "ingest-http", "notify", "watch", "console"} <= names


@analyzed
def test_they_are_clean(installed: Path) -> None:
    done = analyze("verify", "--man=no", "--generators=no", *installed.iterdir())
    assert (done.returncode, done.stderr) == (0, "")


@analyzed
def test_a_mistake_would_be_found(installed: Path, tmp_path: Path) -> None:
    unit = tmp_path / "streamgauge-worker.service"
    unit.write_text((installed / unit.name).read_text().replace("ProtectSystem=", "ProtectSytem="), encoding="utf-8")
    assert "ProtectSytem" in analyze("verify", "--man=no", "--generators=no", unit).stderr


@analyzed
def test_little_is_exposed(installed: Path) -> None:
    for unit in sorted(installed.iterdir()):
        done = analyze("security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSED * 10:.0f}", unit)
        last = done.stdout.splitlines()[-1]
        print(last)
        exposed = re.search(r"exposure level for \S+: ([\d.]+)", last)
        assert done.returncode == 0, done.stdout
        assert exposed is not None
        assert float(exposed[1]) <= MOST_EXPOSED


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_command_is_understood(unit: Path) -> None:
    lines = unit.read_text(encoding="utf-8").splitlines()
    (command,) = [line.removeprefix("ExecStart=").split() for line in lines if line.startswith("ExecStart=")]
    assert command[:3] == [PROGRAM, "--config", CONFIG]
    assert parsed(command[1:])


def test_the_worker_may_take_its_time_and_is_watched() -> None:
    text = (FOLDER / "streamgauge-worker.service").read_text(encoding="utf-8")
    for line in ("Type=notify", "TimeoutStartSec=infinity", "WatchdogSec=60"):
        assert line in text.splitlines()
    stop_s = re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert stop_s is not None
    assert int(stop_s[1]) > 60, "longer than worker.drain_timeout"


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers not found (Debian: systemd)")
def test_the_user_is_made() -> None:
    done = subprocess.run(
        ["systemd-sysusers", "--dry-run", FOLDER / "streamgauge.sysusers"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "user 'streamgauge'" in done.stdout + done.stderr
