"""Workers that are killed, drained and rescaled in mid-stream end in the rows of an undisturbed run."""

import os
from signal import SIGKILL

from tests.recovery.conftest import PARTITIONS, SLOW, STEP
from tests.running import MakeSite, Site, assert_same_rows, processes_of_cluster


def test_kill_9_in_mid_stream_changes_no_row(make_site: MakeSite, undisturbed: Site) -> None:
    site, total = make_site("killed"), len(undisturbed.stored("readings"))
    for _ in range(2):
        with site.worker(**SLOW) as worker:
            site.progresses(STEP, of=total)
            worker.kill()
    assert len(site.stored("readings")) < total, "killed too late to show anything"
    site.run_to_end()
    assert_same_rows(site, undisturbed)
    told = {row["detail"] for row in site.stored("events") if row["kind"] == "restart"}
    assert "starts afresh at earliest" in told
    assert any(detail.startswith("goes on at offset") for detail in told)


def test_a_cluster_whose_process_is_killed_restarts_by_itself(make_site: MakeSite, undisturbed: Site) -> None:
    site, total = make_site("cluster"), len(undisturbed.stored("readings"))
    with site.worker("--processes", "2", "--until-end", **SLOW) as cluster:
        site.waits_for(STEP)
        _, second = processes_of_cluster(cluster.pid)
        os.kill(second, SIGKILL)
        site.says("process 1 died with signal 9 (SIGKILL); restarting in 0.1 s")
        site.says("; running", times=2)
        assert len(site.stored("readings")) < total, "killed too late to show anything"
        assert cluster.wait(90) == 0, site.log
    assert_same_rows(site, undisturbed)
    assert len(site.complaints) == 1, site.log
    assert sum(row["kind"] == "restart" for row in site.stored("events")) == 2 * PARTITIONS


def test_sigterm_drains_and_one_store_serves_one_three_and_two_processes(
    make_site: MakeSite, undisturbed: Site
) -> None:
    site, total, started = make_site("rescaled"), len(undisturbed.stored("readings")), 0
    for processes in (1, 3, 2):
        started += processes
        with site.worker("--processes", str(processes), **SLOW) as worker:
            site.says("runs over", times=started)
            site.progresses(STEP, of=total)
            assert worker.stop() == 0, site.log
    site.run_to_end()
    assert_same_rows(site, undisturbed)
