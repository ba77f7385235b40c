"""docs/console.md does what it says: configuration loads, commands run, settings and roles are there."""

import os
import re
import subprocess
import sys
from pathlib import Path

from flows.configuration import load
from flows.console_access import demands_login

PAGE = (Path(__file__).parents[2] / "docs" / "console.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


def test_configuration_loads_and_demands_login(tmp_path: Path) -> None:
    file = tmp_path / "streamgauge.toml"
    for text in blocks("toml"):
        file.write_text(text)
        given = load(file, {}).console
        assert demands_login(given, given.listen.rpartition(":")[0])


def test_commands_about_users_run(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "STREAMGAUGE_DATA_DIR": str(tmp_path)}
    lines = [line for line in "".join(blocks("sh")).splitlines() if " user " in line or " audit" in line]
    assert len(lines) == 3
    run = subprocess.run(
        ["sh", "-ec", "\n".join(lines)], env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert "added ada, admin" in run.stdout
    assert "user added" in run.stdout
