"""Finding a user's own flow, and the recovery store's layout."""

from pathlib import Path

import pytest
from bytewax.dataflow import Dataflow

from flows.find import find
from flows.recovery import Layout, open_store
from flows.settings import Settings, SettingsError


def test_the_main_job_is_found_by_name() -> None:
    assert find("sensors").__module__ == "flows.sensors"


def test_a_file_of_ones_own_is_found_by_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from bytewax.dataflow import Dataflow\ndef build(settings, ports):\n    return Dataflow('mine')\n")
    flow = find(str(file))(Settings(), None)  # type: ignore[arg-type]  # this one needs no ports
    assert isinstance(flow, Dataflow)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "there is no file flows/nothing.py"),
        ("no/such.py", "no such file"),
        ("settings", "no function build"),
        ("a-b", "not a name"),
    ],
)
def test_what_is_no_flow_is_said(name: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        find(name)


def test_a_store_made_for_another_layout_is_refused(tmp_path: Path) -> None:
    made = Layout.of("sensors", Settings())
    open_store(tmp_path / "store", made)
    open_store(tmp_path / "store", made)
    with pytest.raises(SettingsError, match="was made with flow = sensors, the configuration says other"):
        open_store(tmp_path / "store", Layout.of("other", Settings()))


def test_a_directory_with_other_files_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(SettingsError, match="name an empty directory"):
        open_store(tmp_path, Layout.of("sensors", Settings()))
