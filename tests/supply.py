"""`make audit`: known weaknesses of the pinned packages, and a bill of materials.

Exit code 1 when a pinned version has a known weakness. Where the database cannot be asked, that is said in one line.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

LOCKS = (Path("requirements.lock"), Path("requirements-dev.lock"))
SBOM = Path("build/sbom.json")
_TIMEOUT_S = 60


class Verdict(NamedTuple):
    """weak: what is known of which package. unknown: packages that the database does not know."""

    weak: list[str]
    checked: int
    unknown: int


def judge(report: dict[str, Any]) -> Verdict:
    """What pip-audit's JSON says."""
    weak, checked, unknown = [], 0, 0
    for package in report["dependencies"]:
        if "skip_reason" in package:
            unknown += 1
            continue
        checked += 1
        weak += [
            f"{package['name']} {package['version']}: {one['id']}, "
            + (f"mended in {', '.join(one['fix_versions'])}" if one["fix_versions"] else "not mended yet")
            for one in package["vulns"]
        ]
    return Verdict(weak, checked, unknown)


def audit(lock: Path) -> Verdict | None:
    """None when the database did not answer."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--require-hashes", "-r", str(lock)]
    command += ["--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
        return judge(json.loads(run.stdout))
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return None


def write_sbom(lock: Path, file: Path) -> int:
    """A CycloneDX bill of materials of what is locked; how many packages it names."""
    file.parent.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "cyclonedx_py",
        "requirements",
        str(lock),
        "--output-reproducible",
        "-o",
        str(file),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return len(json.loads(file.read_text())["components"])


def told(lock: Path, found: Verdict | None) -> str:
    """A line for people, and one for each weakness."""
    if found is None or not found.checked:
        return f"{lock.name}: not audited: the database of known weaknesses cannot be reached from here"
    line = f"{lock.name}: {found.checked} packages checked, {len(found.weak)} known weaknesses"
    if found.unknown:
        line += f"; {found.unknown} the database does not know"
    return "\n".join([line, *(f"  {one}" for one in found.weak)])


def main() -> None:
    """Both lock files; the bill of materials is that of a worker."""
    weak = False
    for lock in LOCKS:
        found = audit(lock)
        weak |= bool(found and found.weak)
        print(told(lock, found))
    print(f"{SBOM}: {write_sbom(LOCKS[0], SBOM)} packages")
    sys.exit(weak)


if __name__ == "__main__":
    main()
