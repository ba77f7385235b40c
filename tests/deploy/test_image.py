"""The image: its Dockerfile is clean, its steps run, and a worker runs from it as another user on a read-only root."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from infra.deploy import health, requirements
from infra.embedded.broker import Broker
from infra.embedded.clickhouse import EmbeddedClickHouse
from infra.embedded.process import ChildProcess
from infra.observe.health import HealthServer
from tests.deploy.dockerfile import FILE, ROOT, ignored, stages
from tests.deploy.image import Image, impossible
from tests.running import sites

MESSAGES = 2_000
BUILD, FINAL = stages({})


def test_hadolint_finds_nothing() -> None:
    lint = subprocess.run([Path(sys.executable).parent / "hadolint", FILE], capture_output=True, text=True, check=False)
    assert lint.returncode == 0, lint.stdout


def test_base_is_pinned_by_digest_and_the_user_is_not_root() -> None:
    assert {BUILD.base, FINAL.base} == {BUILD.base}
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+@sha256:[0-9a-f]{64}", BUILD.base)
    assert FINAL.last("USER").text == "10001:10001"
    assert FINAL.last("ENTRYPOINT").words == ["streamgauge"]


def test_everything_is_installed_by_hash() -> None:
    installs = [part for step in BUILD.steps for part in step.text.split(" && ") if " install " in part]
    by_hash = [part for part in installs if "--require-hashes" in part]
    assert len(by_hash) == len(installs) - 1
    assert "--no-index" in next(part for part in installs if part not in by_hash)


def test_both_locks_name_the_same_versions() -> None:
    def versions(file: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9._-]+==[^ ;\\]+", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE))

    assert versions("requirements.lock") <= versions("requirements-dev.lock")


def test_extras_go_in_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert any(one.startswith("paho-mqtt") for one in requirements.extras(["mqtt", "console"]))
    for name in ("embedded", "dev", "nonsense"):
        with pytest.raises(SystemExit, match=f"no extra '{name}' for an image"):
            requirements.extras([name])
    assert requirements.pinned(["pip"])[0].startswith("pip==")
    assert "--hash=sha256:" in requirements.pinned(["pip"])[0]


def test_only_what_is_needed_is_sent_to_the_engine() -> None:
    for path in ("streamgauge.toml", "tests/running.py", ".git/config", ".venv/bin/python", ".streamgauge/recovery"):
        assert ignored(path), path
    assert ignored("flows/__pycache__/cli.cpython-311.pyc")
    assert not ignored("models/artifacts/manifest.toml")


def test_the_health_check_asks_and_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    troubles: list[str] = []
    with HealthServer("127.0.0.1:0", live=list, ready=lambda: troubles) as server:
        url = f"http://127.0.0.1:{server.port}/health/ready"
        assert health.main([url]) == 0
        troubles.append("partition readings/3 is not read yet")
        assert health.main([url]) == 1
    assert "partition readings/3 is not read yet" in capsys.readouterr().err
    assert health.main([url]) == 1
    assert "refused" in capsys.readouterr().err


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    if why := impossible():
        pytest.skip(why)
    home = tmp_path_factory.mktemp("image")
    home.chmod(0o755)
    built = Image(BUILD, home / "build", pip=False, others={})
    built.build()
    final = Image(FINAL, home / "final", pip=False, others={"build": built})
    final.build()
    return final


def test_a_worker_runs_from_it(image: Image, broker: Broker, clickhouse: EmbeddedClickHouse, tmp_path: Path) -> None:
    site = sites(broker, clickhouse, tmp_path, messages=MESSAGES, partitions=2)("image")
    site.home.mkdir()
    state = site.home / "state"
    state.mkdir()
    for_site = {name: text for name, text in site.environment.items() if "DIR" not in name}
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    for_site["STREAMGAUGE_OBSERVE__LISTEN"] = listen
    argv = image.started_as("run", "sensors", state=state, environment=for_site)
    with ChildProcess("worker", argv, log=site.home / "worker.log", stop_timeout_s=30) as worker:
        site.waits_for(MESSAGES - MESSAGES // 20)
        (inside,) = _children(worker.pid)
        place = Path(f"/proc/{inside}")
        status = place.joinpath("status").read_text()
        assert re.search(r"^NSpid:\s+\d+\s+1$", status, re.MULTILINE), "process 1 of its own"
        assert re.search(r"^Uid:\s+10001\s", status, re.MULTILINE)
        assert re.search(r"^CapBnd:\s+0+$", status, re.MULTILINE)
        kernels = list(place.joinpath("root/tmp").glob("streamgauge-kernels-10001/*/*"))
        assert kernels
        assert all(one.is_symlink() for one in kernels), "nothing is compiled at start"
        enter = ["nsenter", f"--target={inside}", "--mount", "--root", "env", "-i", f"PATH={FINAL.environment['PATH']}"]
        subprocess.run([*enter, *health_check(), f"http://{listen}/health/ready"], check=True)
        subprocess.run(["kill", "-TERM", inside], check=True)
        assert worker.wait(30) == 0, site.log
    assert "has ended well" in site.log
    assert (state / ".streamgauge/recovery/layout.json").exists()


def health_check() -> list[str]:
    """The command of HEALTHCHECK."""
    _, _, command = FINAL.last("HEALTHCHECK").text.partition(" CMD ")
    words: list[str] = json.loads(command)
    return words


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
