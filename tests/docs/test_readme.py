"""Every code block of the README does what it says: commands run, configuration loads, code builds, JSON decodes."""

import re
import shlex
import subprocess
from pathlib import Path

import msgspec
import numpy as np
import pytest
from bytewax.testing import run_main

from flows.configuration import load
from flows.find import find
from flows.parts import named_detectors
from flows.settings import Settings
from operators.records import TABLES, Reading
from tests.docs.conftest import reading
from tests.docs.pages import ROOT
from tests.ports import MemoryTables, Message, list_ports

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    assert {name for name, _ in BLOCKS} == {"sh", "text", "toml", "python", "json"}


@pytest.mark.parametrize("text", blocks("toml"))
def test_configuration_loads_and_its_detectors_build(tmp_path: Path, text: str) -> None:
    file = tmp_path / "streamgauge.toml"
    file.write_text(text, encoding="utf-8")
    settings = load(file, {})
    assert len(named_detectors(settings)) == len(settings.detectors)


@pytest.mark.parametrize("text", blocks("json"))
def test_json_is_a_reading(text: str) -> None:
    assert msgspec.json.decode(text, type=Reading, strict=True).sensor_id


@pytest.mark.parametrize("text", blocks("python"))
def test_a_flow_of_ones_own_runs(tmp_path: Path, text: str) -> None:
    file = tmp_path / "anomalies.py"
    file.write_text(text, encoding="utf-8")
    values = [*np.random.default_rng(1).normal(20, 0.5, 400).round(2).tolist(), 90.0]
    messages = [
        Message(msgspec.json.encode({"sensor_id": "a", "value": value, "timestamp": second * 1000}), second * 1000)
        for second, value in enumerate(values)
    ]
    tables = MemoryTables()
    run_main(find(str(file))(Settings(), list_ports({"t/0": messages}, tables)))
    assert 90.0 in {row["value"] for row in tables.final("readings")}


def test_every_table_is_named() -> None:
    for name in TABLES:
        assert f"`{name}`" in README


def test_every_path_exists() -> None:
    for path in re.findall(r"`((?:flows|operators|models|infra|tests|docs)/[\w/.]*)`", README):
        assert (ROOT / path).exists(), path


def test_the_commands_run(after_a_demo: Path) -> None:
    with reading(after_a_demo) as reader:
        for line in "".join(blocks("sh")).splitlines():
            program, *arguments = shlex.split(line)
            if program == "make":
                subprocess.run(["make", "-n", *arguments], cwd=ROOT, check=True, capture_output=True)
            else:
                assert reader.type(line).strip(), f"{line}: says nothing"
