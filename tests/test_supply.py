"""What `make audit` makes of an answer, and of none; the bill of materials names what is locked."""

import re
from pathlib import Path

from tests.supply import Verdict, judge, told, write_sbom

LOCK = Path(__file__).parents[1] / "requirements.lock"


def test_what_an_audit_says() -> None:
    report = {
        "dependencies": [
            {"name": "good", "version": "1", "vulns": []},
            {"name": "bad", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]},
            {"name": "own", "skip_reason": "not found"},
        ]
    }
    assert judge(report) == Verdict(["bad 2: PYSEC-1, mended in 3"], 2, 1)
    assert told(LOCK, judge(report)).splitlines()[1:] == ["  bad 2: PYSEC-1, mended in 3"]
    unreachable = "requirements.lock: not audited: the database of known weaknesses cannot be reached from here"
    assert told(LOCK, None) == told(LOCK, Verdict([], 0, 70)) == unreachable


def test_the_bill_of_materials_names_every_locked_package(tmp_path: Path) -> None:
    locked = set(re.findall(r"^([a-z0-9.-]+)==", LOCK.read_text(), re.MULTILINE | re.IGNORECASE))
    assert write_sbom(LOCK, tmp_path / "sbom.json") >= len(locked) > 20
