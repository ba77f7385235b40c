"""A short round of chaos; `make chaos` is the long one."""

from pathlib import Path

from tests.chaos.plan import KINDS, LEAD_S, OF_INPUT, Pace, plan, rounds
from tests.chaos.run import Size, run_round
from tests.chaos.stage import can_fill_disks

_KINDS = ("kill-all", "pause", "broker-cut", "broker-silent", "clickhouse-kill", "disk-full", *OF_INPUT)
"""Those that no other test brings about."""


def test_a_plan_depends_on_its_seed_alone_and_has_all_kinds_equally_often() -> None:
    kinds = tuple(KINDS)
    faults = plan(7, 3 * len(kinds), kinds=kinds, pace=Pace())
    assert faults == plan(7, 3 * len(kinds), kinds=kinds, pace=Pace())
    assert faults != plan(8, 3 * len(kinds), kinds=kinds, pace=Pace())
    assert sorted(one.kind for one in faults) == sorted(3 * kinds)
    parts = rounds(faults, 12)
    assert [one.kind for part in parts for one in part] == [one.kind for one in faults]
    assert {part[0].at_s for part in parts} == {LEAD_S}


def test_a_flow_that_is_killed_cut_off_filled_up_and_lied_to_ends_in_the_tables_of_an_undisturbed_one(
    tmp_path: Path,
) -> None:
    kinds = [kind for kind in _KINDS if kind != "disk-full" or can_fill_disks()]
    faults = plan(3, len(kinds), kinds=kinds, pace=Pace(lasts_s=(0.5, 1.0), calm_s=(1.0, 1.5)))
    said: list[str] = []
    done = run_round(tmp_path, 3, faults, Size(sensors=100, rate=1_000), said.append)
    assert not done.wrong, "\n".join([*said, *done.wrong])
    assert [one.fault for one in done.recovered] == faults
