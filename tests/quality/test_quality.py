"""`make quality` in short, what its report says, and what it writes into a file."""

import argparse
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from flows.settings import Detector, Settings
from infra.simulate.config import FAULT_KINDS
from operators.batches import Series
from tests.quality import __main__ as quality
from tests.quality import nab, nab_section, report, simulator_section, skab, skab_section
from tests.quality.report import BEGIN, END, ReportError, Section, Table, Target
from tests.quality.runs import judge
from tests.quality.simulated import Kind, Result

SECTION = Section(
    (
        Table(
            "Fruit",
            ("", "weight"),
            (("apple", "1.0"), ("pear [small]", "")),
        ),
    ),
    (Target("weight", 1.0, 0.5), Target("price", 12.0, 10.0, at_most=True, style=".0f", unit=" %")),
    ("A note.",),
)


def options(*arguments: str) -> argparse.Namespace:
    return quality.parsed(arguments)


def printed(*sections: Section) -> str:
    out = StringIO()
    report.show(sections, "today", Console(file=out, width=79))
    return out.getvalue()


def few_detectors() -> Settings:
    return Settings(
        detectors=(
            Detector(name="z", kind="models.rolling_z.RollingZ", role="rule", threshold=3.0),
            Detector(name="step", kind="models.deviation.Deviation", params={"long": 1}),
        )
    )


def test_the_report_tells_all_and_what_was_missed() -> None:
    text = printed(SECTION)
    assert "pear [small]" in text
    assert "reached  weight: 1.00, at least 0.50 wanted\n" in text
    assert "missed   price: 12 %, at most 10 % wanted, missed by 2 %\n" in text
    assert "A note.\n" in text
    assert text.endswith("today\n")
    assert not Target("unknown", np.nan, 0.5).reached
    assert not Target("unknown", np.nan, 0.5, at_most=True).reached


def test_markdown_has_the_same_rows() -> None:
    text = report.markdown([SECTION], "today")
    assert text.startswith("today\n\n**Fruit**\n\n|  | weight |\n| --- | ---: |\n| apple | 1.0 |\n")
    assert text.endswith(
        "- reached: weight: 1.00, at least 0.50 wanted\n- **missed**: price: 12 %, at most 10 % wanted, missed by 2 %"
    )


def test_only_what_stands_between_the_marks_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text(f"# before µ\n{BEGIN}\n{END}\nafter\n", encoding="utf-8")
    for text in (r"first \1", "second"):
        report.write(text, file)
        assert file.read_text(encoding="utf-8") == f"# before µ\n{BEGIN}\n\n{text}\n\n{END}\nafter\n"


@pytest.mark.parametrize("text", ["nothing", f"{BEGIN}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{BEGIN}\n{END}\n"])
def test_a_file_without_the_marks_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    file = tmp_path / "README.md"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ReportError, match=r"^.*README\.md: needs one line .*$"):
        report.write("new", file)
    assert file.read_text(encoding="utf-8") == text
    with pytest.raises(ReportError, match="cannot be read: No such file"):
        report.write("new", tmp_path / "none.md")


def test_the_page_has_the_marks() -> None:
    page = (Path(__file__).parents[2] / "docs" / "quality.md").read_text(encoding="utf-8")
    assert page.count(BEGIN) == page.count(END) == 1
    assert page.index(BEGIN) < page.index(END)


@pytest.mark.parametrize("less", [("--quick",), ("--only", "nab"), ("--config", "mine.toml")])
def test_only_a_whole_run_is_written(less: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options("--write", "README.md", *less)
    assert "--write wants all parts, whole, with the default configuration" in capsys.readouterr().err


def test_readings_of_several_sensors_are_told_apart_and_repeats_get_the_first_verdict() -> None:
    rng = np.random.default_rng(1)
    sensor, second = np.tile([0, 1], 300), np.repeat(np.arange(300), 2)
    value = np.round(rng.normal(20, 1, 600), 2)
    value[501] = 90.0
    second[502], sensor[502], value[502] = second[501], sensor[501], value[501]
    series = [Series("a", "kind"), Series("b", "kind")]
    told: list[int] = []
    said = judge(few_detectors(), series, sensor, second * 1000, value, scores=True, advance=told.append)
    assert sum(told) == 600
    assert said.raw["z"][501] > 10 > np.nanmax(said.raw["z"][:501])
    assert said.flagged["z"][501]
    assert said.score[502] == said.score[501]
    assert said.raw["z"][502] == said.raw["z"][501]
    assert set(said.flagged) == {"z", "step", "range", "stuck"}
    without = judge(few_detectors(), series, sensor, second * 1000, value, scores=False)
    assert without.raw == without.surprise == {}
    np.testing.assert_array_equal(without.is_anomaly, said.is_anomaly)


def test_seeds_are_pooled() -> None:
    kinds = dict.fromkeys(FAULT_KINDS, Kind(10, 9, 4, 3, 2.0))
    others = dict.fromkeys(FAULT_KINDS, Kind(30, 15, 4, 0, np.nan))
    both = simulator_section.pooled([Result(8, 1, 2, 89, 0.5, kinds), Result(2, 1, 8, 89, 1.5, others)])
    assert (both.true_positives, both.false_positives, both.false_negatives, both.true_negatives) == (10, 2, 10, 178)
    assert (both.false_alarms_per_day, both.kinds["drift"]) == (1.0, Kind(40, 24, 8, 3, 2.0))


def test_a_short_simulation() -> None:
    section = simulator_section.section(few_detectors(), [simulator_section.QUICK], [7], lambda _: None)
    text = printed(section)
    for name in ("verdict", "z", "step", "range", "stuck"):
        assert f" every 2 s: {name} " in text
    recall = {row[0]: row[2] for row in section.tables[1].rows}
    assert set(recall) == set(FAULT_KINDS)
    assert recall["silence"] == "1.000"
    assert len(section.targets) == 4


def test_a_few_files_of_nab() -> None:
    try:
        files = nab_section.load(quick=True)[-1:]
    except nab.NoDataError as missing:
        pytest.skip(str(missing))
    told: list[int] = []
    section = nab_section.section(few_detectors(), files, told.append)
    assert sum(told) == nab_section.readings(files)
    names = [row[0] for row in section.tables[0].rows]
    assert names[:2] == ["verdict: score", "verdict: start of alarms"]
    assert {"River HalfSpaceTrees, scaled", "a blind clock"} <= set(names)
    assert [row[0] for row in section.tables[2].rows] == ["z", "step"]
    assert section.targets[0].value == nab_section.section(few_detectors(), files, told.append).targets[0].value


def test_a_few_files_of_skab() -> None:
    try:
        files = skab_section.load(quick=True)[1:2]
    except skab.NoDataError as missing:
        pytest.skip(str(missing))
    section = skab_section.section(few_detectors(), files, lambda _: None)
    rows = {row[0]: row[1:] for row in section.tables[0].rows}
    assert rows["always anomalous"][1:] == ("100.0", "0.0")
    assert rows["verdict on the asset"] == (f"{section.targets[0].value:.3f}", *rows["verdict on the asset"][1:])


def test_data_that_is_not_there_is_said_and_the_rest_is_done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    load = nab.load
    monkeypatch.setattr(nab, "load", lambda: load(tmp_path))
    monkeypatch.setattr(quality, "PARTS", {"nab": quality.PARTS["nab"], "cost": lambda *_: SECTION})
    out = StringIO()
    sections = quality.run(few_detectors(), options("--quick"), Console(file=out, width=200))
    assert sections == [SECTION]
    assert out.getvalue().splitlines()[0] == f"no NAB data: {tmp_path / 'labels.json'} is not there"
