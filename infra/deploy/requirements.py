"""What an image is to contain, for pip: run while it is built, with nothing but Python.

    python infra/deploy/requirements.py extras mqtt http    the requirements of these extras, not pinned
    python infra/deploy/requirements.py pinned pip          lines of requirements-dev.lock, with hashes

Versions and hashes of the former come from `pip install --require-hashes --constraint requirements-dev.lock`.
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT, LOCK = Path("pyproject.toml"), Path("requirements-dev.lock")
NOT_FOR_IMAGES = ("dev", "embedded")


def extras(names: list[str]) -> list[str]:
    """Requirements of these extras. Raises SystemExit for one that there is not."""
    known = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    allowed = {name: wanted for name, wanted in known.items() if name not in NOT_FOR_IMAGES}
    for name in names:
        if name not in allowed:
            raise SystemExit(f"EXTRAS: no extra {name!r} for an image; there are {', '.join(allowed)}")
    return sorted({requirement for name in names for requirement in allowed[name]})


def pinned(names: list[str]) -> list[str]:
    """Lines of the lock file. Raises SystemExit for a package that is not in it."""
    lines = []
    for name in names:
        found = re.search(rf"^{re.escape(name)}==(?:.*\\\n)*.*\n", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
        if found is None:
            raise SystemExit(f"{name} is not in {LOCK}")
        lines.append(found[0].rstrip())
    return lines


if __name__ == "__main__":
    print("\n".join({"extras": extras, "pinned": pinned}[sys.argv[1]](sys.argv[2:])))
