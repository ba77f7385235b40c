"""The files made from the Python beside this, committed: dashboards and alert rules, read by `push`; provisioning."""

import json
from importlib import import_module
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from infra.grafana.alerting import provisioning
from infra.grafana.files import ALERTING, DASHBOARDS, GENERATED, PROVISIONING
from infra.grafana.provisioning import PROVISIONED

NAMES = ("alerts", "data_quality", "detection", "overview", "pipeline", "sensor", "windows")


def generated() -> dict[str, str]:
    """Path below `generated/` -> text of every file as the Python says now."""
    texts = {}
    for name in NAMES:
        board = import_module(f"infra.grafana.dashboards.{name}").build()
        texts[f"{DASHBOARDS}/{name}.json"] = _text(board)
    texts[ALERTING] = _text(provisioning())
    texts |= {f"{PROVISIONING}/{name}": text for name, text in PROVISIONED.items()}
    return texts


def write(folder: Path = GENERATED) -> list[str]:
    """Bring the files up to date; returns the names of those that changed, also of those that went."""
    changed = stale(folder)
    wanted = generated()
    for name in changed:
        if name not in wanted:
            (folder / name).unlink()
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(wanted[name], encoding="utf-8")
    return changed


def stale(folder: Path = GENERATED) -> list[str]:
    """Names of files that are not what the Python says now."""
    wanted = generated()
    there = {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in folder.rglob("*.*")}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def _text(what: object) -> str:
    return json.dumps(what, cls=JSONEncoder, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
