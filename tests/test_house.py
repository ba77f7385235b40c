"""The house: import walls, file sizes, lock files."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("flows", "operators", "infra", "models", "tests")


def test_import_walls_hold() -> None:
    lint = Path(sys.executable).parent / "lint-imports"
    run = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


def test_files_stay_small() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if (lines := path.read_text(encoding="utf-8").count("\n")) > 450
    }
    assert not long, f"files over 450 lines; does each have one reason to change? {long}"


def test_lock_files_pin_every_dependency_without_addresses() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for name, wanted in (
        ("requirements.lock", project["dependencies"]),
        ("requirements-dev.lock", [*project["dependencies"], *extras["embedded"], *extras["plot"], *extras["dev"]]),
    ):
        text = (ROOT / name).read_text()
        assert "://" not in text
        pinned = set(re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE))
        missing = {re.split(r"[<>=\[]", dependency)[0].lower() for dependency in wanted} - pinned
        assert not missing, f"{name}: run `make lock`; not pinned: {missing}"
