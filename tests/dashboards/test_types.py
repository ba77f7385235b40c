"""The generated JSON is what @grafana/schema says a dashboard is: checked by TypeScript, where Node is installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

from infra.grafana.files import DASHBOARDS, GENERATED

SOURCES = Path(__file__).parent / "typescript"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TypeScript and Grafana's types, as the lock file pins them."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("dashboards are not checked against @grafana/schema: there is no npm on this machine")
    folder = tmp_path_factory.mktemp("typescript")
    shutil.copytree(SOURCES, folder, dirs_exist_ok=True)
    install = subprocess.run(
        [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if install.returncode:
        pytest.skip(f"dashboards are not checked against @grafana/schema: npm ci failed: {install.stderr[-200:]}")
    return folder


def complaints(project: Path, boards: dict[str, str]) -> str:
    """What the compiler says of dashboards, given as JSON by name."""
    for name, text in boards.items():
        source = f"import type {{ Dashboard }} from './board.js';\nexport const board: Dashboard = {text};\n"
        (project / f"{name}.ts").write_text(source, encoding="utf-8")
    tsc = project / "node_modules" / ".bin" / "tsc"
    run = subprocess.run([tsc, "-p", "."], cwd=project, capture_output=True, text=True, check=False, timeout=300)
    for name in boards:
        (project / f"{name}.ts").unlink()
    return run.stdout + run.stderr


def test_dashboards_fit_the_schema(project: Path) -> None:
    boards = {path.stem: path.read_text(encoding="utf-8") for path in (GENERATED / DASHBOARDS).glob("*.json")}
    assert not complaints(project, boards)


@pytest.mark.parametrize(
    ("old", "new"), [('"fillOpacity"', '"fillOpacty"'), ('"thresholds"', '"thresholdz"'), ('"h": 4', '"h": "4"')]
)
def test_what_does_not_fit_is_found(project: Path, old: str, new: str) -> None:
    text = (GENERATED / DASHBOARDS / "overview.json").read_text(encoding="utf-8")
    assert "error TS" in complaints(project, {"overview": text.replace(old, new, 1)})
