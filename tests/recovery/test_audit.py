"""The audit agrees with what a disturbed flow has stored, and finds what was taken away or put in."""

import json
import subprocess
import sys

import pytest

from infra.clickhouse.audit import Audit, Counts, Stretch, _within_retention, audit
from infra.clickhouse.client import Address, connect
from tests.recovery.conftest import SLOW, STEP
from tests.running import MakeSite, Site

YEAR_S = 365 * 86_400


def audited(site: Site, *, retention_s: int = YEAR_S, fresh_s: int = 0) -> Audit:
    with connect(Address(port=site.clickhouse_port, database=site.database)) as client:
        return audit(client, topics=[site.topic], retention_s=retention_s, fresh_s=fresh_s)


def command(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`streamgauge audit ...`"""
    argv = [sys.executable, "-m", "flows.cli", "--config", str(site.home / "empty.toml"), "audit", *arguments]
    return subprocess.run(argv, env=site.whole_environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def killed(make_site: MakeSite) -> Site:
    """Killed once, then run to the end."""
    site = make_site("audited")
    with site.worker(**SLOW) as worker:
        site.waits_for(STEP)
        worker.kill()
    site.run_to_end()
    return site


def test_all_is_accounted_for_after_a_kill(killed: Site) -> None:
    found = command(killed)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "every reading is accounted for" in found.stdout
    told = json.loads(command(killed, "--json").stdout)
    assert told["findings"] == []
    assert sum(one["messages"] for one in told["stretches"]) > 0


def test_what_was_taken_away_and_what_was_put_in_is_found(killed: Site) -> None:
    with killed.asking() as ask:
        gone = f"topic = '{killed.topic}' AND partition = 1 AND offset BETWEEN 100 AND 139"
        kept = int(ask(f"SELECT count() FROM readings FINAL WHERE {gone}"))
        assert kept > 20
        ask("CREATE TABLE taken AS readings")
        ask(f"INSERT INTO taken SELECT * FROM readings WHERE {gone}")
        ask(f"ALTER TABLE readings DELETE WHERE {gone} SETTINGS mutations_sync = 2")
        (finding,) = audited(killed).findings
        assert (finding.topic, finding.partition) == (killed.topic, 1)
        offsets = {offset for first, last in finding.runs for offset in range(first, last + 1)}
        assert len(offsets & set(range(100, 140))) >= kept
        shown = command(killed)
        assert shown.returncode == 1
        assert f"{killed.topic}/1" in shown.stdout
        ask("INSERT INTO readings SELECT * FROM taken")
        assert audited(killed).findings == []

        ask("INSERT INTO readings SELECT * REPLACE ('other' AS sensor_id) FROM taken ORDER BY offset LIMIT 1")
        (finding,) = audited(killed).findings
        assert "several identities" in finding.what
        assert len(finding.runs) == 1
        ask("ALTER TABLE readings DELETE WHERE sensor_id = 'other' SETTINGS mutations_sync = 2")

        ask("CREATE TABLE letters AS dead_letters")
        ask("INSERT INTO letters SELECT * FROM dead_letters WHERE partition = 2 LIMIT 1")
        same = "partition = 2 AND offset IN (SELECT offset FROM letters)"
        ask(f"ALTER TABLE dead_letters DELETE WHERE {same} SETTINGS mutations_sync = 2")
        (finding,) = audited(killed).findings
        assert finding.partition == 2
        assert "rejected" in finding.what
        ask("INSERT INTO dead_letters SELECT * FROM letters")
        assert audited(killed).findings == []


def test_a_count_that_is_still_to_come_is_in_flight_and_one_of_long_ago_left_out(killed: Site) -> None:
    with killed.asking() as ask:
        for columns, stage in (("on_time - 3 AS on_time", "!= 'source'"), ("readings - 3 AS readings", "= 'source'")):
            ask(
                f"INSERT INTO ledger SELECT * REPLACE (version + 1000000 AS version, {columns}) FROM ledger FINAL "
                f"WHERE partition = 0 AND stage {stage} ORDER BY on_time DESC LIMIT 1"
            )
        found = audited(killed, fresh_s=10_000)
        assert (found.findings, found.in_flight) == ([], 1)
        assert len(audited(killed, fresh_s=-10).findings) == 1, "nothing was stored of late"
        left_out = audited(killed, retention_s=-10)
        assert (left_out.stretches, left_out.findings) == ([], [])
        assert left_out.expired == 4


def test_a_stretch_that_began_before_retention_is_left_out_whenever_it_ended() -> None:
    def stretch(number: int, *, partition: int = 0, expired: bool = False) -> Stretch:
        none = Counts(0, 0, 0)
        return Stretch("t", partition, number * 100_000, 0, 0, 0, none, none, fresh=False, expired=expired)

    old = [stretch(0, expired=True), stretch(1, expired=True), stretch(2), stretch(3), stretch(4)]
    young = [stretch(0, partition=1), stretch(1, partition=1)]
    assert _within_retention(old + young) == old[3:] + young
