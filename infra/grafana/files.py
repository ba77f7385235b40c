"""Where the generated files are."""

import json
from pathlib import Path
from typing import Any

GENERATED = Path(__file__).parent / "generated"
DASHBOARDS = "dashboards"
PROVISIONING = "provisioning"
ALERTING = f"{PROVISIONING}/alerting/streamgauge.json"


def dashboards(folder: Path = GENERATED) -> list[dict[str, Any]]:
    """The dashboards, by file name."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((folder / DASHBOARDS).glob("*.json"))]


def alerting(folder: Path = GENERATED) -> dict[str, Any]:
    """The alert rules as a provisioning file: groups and contact points."""
    found: dict[str, Any] = json.loads((folder / ALERTING).read_text(encoding="utf-8"))
    return found
