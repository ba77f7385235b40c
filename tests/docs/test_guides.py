"""The guides' commands run, one after the other, as a reader would type them."""

import ast
import re
from pathlib import Path

import pytest

from tests.docs.conftest import reading
from tests.docs.pages import ROOT, Reader, blocks

GUIDES = sorted((ROOT / "docs").glob("guide-*.md"))


@pytest.mark.parametrize("person", ["newcomer", "analyst"])
def test_commands_after_a_demo_run(person: str, after_a_demo: Path) -> None:
    with reading(after_a_demo) as reader:
        _type(person, reader)


def test_commands_at_work_run(at_work: Path) -> None:
    """The operator finds what the engineer has left."""
    for person in ("engineer", "operator"):
        with reading(at_work) as reader:
            _type(person, reader)


def _type(person: str, reader: Reader) -> None:
    guide = ROOT / "docs" / f"guide-{person}.md"
    for line in "".join(blocks(guide.read_text(encoding="utf-8"), "sh")).splitlines():
        reader.type(line)


def test_every_person_has_one() -> None:
    assert [guide.stem for guide in GUIDES] == [
        f"guide-{person}" for person in ("analyst", "engineer", "newcomer", "operator")
    ]


def test_python_is_python() -> None:
    for guide in GUIDES:
        for text in blocks(guide.read_text(encoding="utf-8"), "python"):
            ast.parse(text)


def test_settings_and_metrics_that_are_named_are_there() -> None:
    import msgspec

    from flows.settings import Settings
    from infra.observe.metrics import VOCABULARY

    sections = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    metrics = {one.name for one in VOCABULARY}
    for page in [
        *GUIDES,
        ROOT / "docs" / "runbooks.md",
        ROOT / "docs" / "security.md",
        ROOT / "docs" / "clickhouse.md",
    ]:
        text = page.read_text(encoding="utf-8")
        assert set(re.findall(r"`(streamgauge_\w+)", text)) <= metrics, page.name
        for section, name in re.findall(r"`(\w+)\.(\w+)`", text):
            if section in sections and section != "kafka":
                fields = {field.name for field in msgspec.structs.fields(sections[section])}
                assert name.removesuffix("_file") in fields or name in fields, f"{page.name}: {section}.{name}"
