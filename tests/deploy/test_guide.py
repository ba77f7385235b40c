"""docs/deploy.md: every command in it exists, every path is there, every secret that manifests want is named."""

import re
import shlex
import subprocess

import pytest
import yaml

from tests.deploy.commands import parsed
from tests.deploy.dockerfile import ROOT
from tests.deploy.manifests import K8S, pods, written

PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
LINES = [
    line for text in re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) for line in text.splitlines()
]
OURS = [line for line in LINES if re.search(r"(^|/)streamgauge ", line) and not line.startswith(("kubectl", "docker"))]


@pytest.mark.parametrize("line", OURS)
def test_commands_of_ours_are_understood(line: str) -> None:
    words = shlex.split(line)
    at = next(i for i, word in enumerate(words) if word.endswith("bin/streamgauge") or (i, word) == (0, "streamgauge"))
    assert parsed(words[at + 1 :])


def test_paths_are_there() -> None:
    # What secrets.sh makes is not.
    for path in set(re.findall(r"(?:infra|docs|tests)/[\w./*-]+[\w*]", PAGE)):
        if "/compose/secrets/" not in path:
            assert list(ROOT.glob(path)), path


def test_targets_of_make_are_there() -> None:
    for target in set(re.findall(r"`make (\w+)", PAGE)):
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def test_the_image_runs_what_it_says() -> None:
    (line,) = [line for line in LINES if line.startswith("docker run")]
    assert parsed(shlex.split(line.partition("streamgauge:0.1.0 ")[2])) == ["run"]


def test_units_are_there_and_all_are_named() -> None:
    units = {file.stem for file in (ROOT / "infra/deploy/systemd").glob("*.service")}
    named = set(re.findall(r"`(streamgauge-[\w-]+)`", PAGE.split("## Compose")[0]))
    assert named <= units
    assert units - named <= {"streamgauge-edge"}, "which docs/edge.md is about"


def test_every_secret_is_named() -> None:
    used = {
        item["key"]
        for _, pod in pods(written())
        for volume in pod.get("volumes", [])
        for item in volume.get("secret", {}).get("items", [])
    }
    for one in yaml.safe_load_all((K8S / "monitoring" / "monitor.yaml").read_text(encoding="utf-8")):
        for end in one["spec"].get("endpoints", []):
            used |= {end["authorization"]["credentials"]["key"]} if "authorization" in end else set()
    for key in used:
        assert f"--from-file={key}=" in PAGE
