"""The machine: what is read, when it is degraded, that it is said once."""

import logging
import math
from pathlib import Path

import pytest

from infra.observe import system
from infra.observe.system import CPU_LOOKS, LOOKS, Change, Judge, Look, Machine, look_once


def judge() -> Judge:
    return Judge(max_cpu=0.9, min_memory=0.1, min_disk=0.2)


def look(*, cpu: float = 0.5, memory: float = 0.5, disk: float = 0.5) -> Look:
    return Look(cpu, memory, {"data": disk})


@pytest.mark.parametrize(
    ("short", "subject", "looks"),
    [(look(cpu=0.95), "cpu", CPU_LOOKS), (look(memory=0.05), "memory", LOOKS), (look(disk=0.1), "disk data", LOOKS)],
)
def test_degraded_is_what_lasts_and_recovered_what_has_passed_for_as_long(
    short: Look, subject: str, looks: int
) -> None:
    one = judge()
    told = [one.judge(short) for _ in range(2 * looks)] + [one.judge(look()) for _ in range(2 * looks)]
    changes = {at: [(change.kind, change.subject) for change in some] for at, some in enumerate(told) if some}
    assert changes == {looks - 1: [("degraded", subject)], 3 * looks - 1: [("recovered", subject)]}


def test_a_moment_is_nothing_and_what_is_unknown_neither() -> None:
    one = judge()
    looks = [look(cpu=1.0), look(), look(cpu=1.0), look(cpu=math.nan)] * CPU_LOOKS
    assert not any(one.judge(each) for each in looks)


def test_this_machine_is_looked_at(tmp_path: Path) -> None:
    machine = Machine((str(tmp_path / "not yet" / "made"),))
    seen = [machine.look(), machine.look()][-1]
    assert 0 < next(iter(seen.disks.values())) <= 1
    if Path("/proc/meminfo").exists():
        assert 0 < seen.memory <= 1
        assert seen.memory_bytes > 1e6


def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proc, cgroup = tmp_path / "proc", tmp_path / "cgroup"
    proc.mkdir()
    cgroup.mkdir()
    (proc / "meminfo").write_text("MemTotal: 8000 kB\nMemAvailable: 4000 kB\n")
    (proc / "stat").write_text("cpu 10 0 10 70 10 0 0 0 0 0\n")
    (cgroup / "memory.max").write_text("max\n")
    monkeypatch.setattr(system, "_PROC", proc)
    monkeypatch.setattr(system, "_CGROUP", cgroup)
    machine = Machine(())
    seen = machine.look()
    assert (seen.memory, seen.cpu) == (0.5, 0.2)
    (cgroup / "memory.max").write_text("1000000\n")
    (cgroup / "memory.current").write_text("900000\n")
    (cgroup / "memory.stat").write_text("anon 1\ninactive_file 100000\n")
    (proc / "stat").write_text("cpu 110 0 10 70 10 0 0 0 0 0\n")
    seen = machine.look()
    assert (seen.memory, seen.memory_bytes, seen.cpu) == (0.2, 200_000, 1.0)


def test_what_changes_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told: list[Change] = []
    machine = Machine((str(tmp_path),))
    one = Judge(max_cpu=1.0, min_memory=0.0, min_disk=1.0)  # no disk is empty
    with caplog.at_level(logging.INFO, logger="infra.observe.system"):
        for _ in range(2 * LOOKS):
            look_once(machine, one, told.extend)
    assert [(change.kind, change.subject) for change in told] == [("degraded", f"disk {tmp_path}")]
    assert len(caplog.records) == 1
