"""The recovery store: looked at, copied, damaged, lost and begun anew while a flow is on its way."""

import pickle
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from flows.recovery import Layout, make_store, read_layout, write_layout
from flows.settings import Settings
from flows.store import copies, states
from flows.store.files import StoreError, all_of, newest_snapshots, part_files, progress
from infra.kafka.admin import create_topic
from infra.kafka.client import Connection
from operators.state import pack
from tests.recovery.conftest import PARTITIONS, SLOW, STEP
from tests.running import MakeSite, Site, assert_same_rows

STORE_FILES = 4


def state(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`streamgauge state ...`"""
    command = [sys.executable, "-m", "flows.cli", "--config", str(site.home / "empty.toml"), "state", *arguments]
    return subprocess.run(command, env=site.whole_environment, capture_output=True, text=True, check=False)


def store(site: Site) -> Path:
    return site.home / "recovery"


def stop_in_mid_stream(site: Site, total: int, *, kill: bool = False) -> None:
    with site.worker(**SLOW) as worker:
        site.progresses(STEP, of=total)
        if kill:
            worker.kill()
        else:
            assert worker.stop() == 0, site.log


def test_a_backup_of_a_store_in_use_goes_on_to_the_same_rows(make_site: MakeSite, undisturbed: Site) -> None:
    site, total = make_site("backup"), len(undisturbed.stored("readings"))
    with site.worker(**SLOW) as worker:
        site.progresses(STEP, of=total)
        made = state(site, "backup", str(site.home / "copy"))
        assert made.returncode == 0, made.stderr
        found = msgspec.json.decode(state(site, "status", "--json").stdout)
        assert found["in_use_by"] == str(worker.pid)
        assert found["epoch"] >= 1
        site.progresses(STEP, of=total)
        refused = state(site, "restore", str(site.home / "copy"), "--yes")
        assert refused.returncode == 1
        assert "in use by process" in refused.stderr
        worker.kill()
    restored = state(site, "restore", str(site.home / "copy"), "--yes")
    assert restored.returncode == 0, restored.stderr
    assert "the store that was there is in" in restored.stdout
    site.run_to_end()
    assert_same_rows(site, undisturbed)
    shown = state(site, "status")
    assert shown.returncode == 0, shown.stderr
    assert "12 sensors" in shown.stdout
    assert f"{site.topic}/0" in shown.stdout


def test_a_new_store_has_pages_so_large_that_its_log_is_seldom_copied(tmp_path: Path) -> None:
    make_store(tmp_path, Layout.of("sensors", Settings()))
    for file in part_files(tmp_path, STORE_FILES):
        with closing(sqlite3.connect(file)) as connection:
            assert connection.execute("PRAGMA page_size").fetchone() == (32_768,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_lost_store_is_made_anew_from_what_kafka_holds(make_site: MakeSite, undisturbed: Site) -> None:
    site = make_site("lost")
    stop_in_mid_stream(site, len(undisturbed.stored("readings")), kill=True)
    shutil.rmtree(store(site))
    site.run_to_end()
    assert_same_rows(site, undisturbed)


def test_a_damaged_store_is_refused_with_what_to_do_and_begun_anew(make_site: MakeSite, undisturbed: Site) -> None:
    site = make_site("damaged")
    stop_in_mid_stream(site, len(undisturbed.stored("readings")))
    part = part_files(store(site), STORE_FILES)[1]
    content = part.read_bytes()
    for broken, why in ((b"x" * 9000, "no SQLite file"), (content[: len(content) // 2], "damaged"), (None, "missing")):
        part.unlink() if broken is None else part.write_bytes(broken)
        with site.worker() as worker:
            assert worker.wait(60) == 1
        line = next(line for line in reversed(site.log.splitlines()) if line.startswith("error"))
        assert why in line
        assert "streamgauge state restore" in line
        assert "streamgauge state reset --from earliest" in line
    assert "Traceback" not in site.log
    done = state(site, "reset", "--from", "earliest", "--yes")
    assert done.returncode == 0, done.stderr
    (site.home / "worker.log").unlink()
    site.run_to_end()
    assert_same_rows(site, undisturbed)


def test_snapshots_of_an_epoch_that_was_never_completed_are_not_gone_on_from(
    make_site: MakeSite, undisturbed: Site
) -> None:
    """A kill may leave some written; where the next execution has nothing to tell, Bytewax would take them."""
    site = make_site("unfinished")
    stop_in_mid_stream(site, len(undisturbed.stored("readings")))
    files = part_files(store(site), STORE_FILES)
    with all_of(files) as connections:
        epoch = progress(connections).resume_epoch
        kept = [list(newest_snapshots(one, epoch)) for one in connections]
    for file, snapshots in zip(files, kept, strict=True):
        with closing(sqlite3.connect(file)) as connection:
            for one in snapshots:
                connection.execute(
                    "INSERT INTO snaps (step_id, state_key, snap_epoch, ser_change) VALUES (?, ?, ?, ?)",
                    (one.step, one.key, epoch, pickle.dumps("of no use")),
                )
            connection.commit()
    site.run_to_end()
    assert_same_rows(site, undisturbed)


def test_reset_begins_where_it_is_told(make_site: MakeSite) -> None:
    site = make_site("reset")
    site.home.mkdir(exist_ok=True)
    (site.home / "empty.toml").touch()
    assert "earliest" in state(site, "reset", "--from", "yesterday", "--yes").stderr
    assert state(site, "reset", "--from", "latest", "--yes").returncode == 0
    site.run_to_end()
    assert site.stored("readings") == []
    nobody = state(site, "reset", "--from", "latest")
    assert nobody.returncode == 2
    assert "--yes" in nobody.stderr


def test_added_partitions_are_read_and_told_of_once(make_site: MakeSite) -> None:
    site = make_site("grown")
    topic = f"{site.topic}-grown"
    kafka = Connection(bootstrap=site.bootstrap)
    create_topic(kafka, topic, partitions=2, config={"retention.ms": "-1"})
    given = {"KAFKA__TOPICS": f'["{topic}"]'}
    site.run_to_end(**given)
    admin = AdminClient({"bootstrap.servers": site.bootstrap})
    admin.create_partitions([NewPartitions(topic, PARTITIONS)])[topic].result()
    site.run_to_end(**given)
    site.run_to_end(**given)
    assert site.log.count("2 partitions before, 4 now") == 1
    assert [row["subject"] for row in site.stored("events", where="kind = 'partitions'")] == [topic]
    assert {row["subject"] for row in site.stored("events", where="kind = 'restart'")} >= {f"{topic}/3"}


def test_states_of_an_earlier_release_are_refused_then_migrated(
    make_site: MakeSite, undisturbed: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later release with another shape of one state within another, and what makes it of the present one."""
    site = make_site("migrated")
    stop_in_mid_stream(site, len(undisturbed.stored("readings")))
    part = states.PARTS["cadence"]
    later = part.version + 1
    monkeypatch.setattr(states, "PARTS", {**states.PARTS, "cadence": part._replace(version=later)})
    needed = Layout.of("sensors", Settings())
    with pytest.raises(StoreError, match=r"cannot read \(cadence 1 -> 2\)"):
        read_layout(store(site), needed)
    monkeypatch.setitem(states.MIGRATIONS, "cadence", {part.version: lambda state: (later, *state[1:], "new")})
    with pytest.raises(StoreError, match="streamgauge state migrate"):
        read_layout(store(site), needed)
    done = copies.migrate(store(site), "9.9")
    assert done is not None
    older, changed, before = done
    assert older == [f"cadence {part.version} -> {later}"]
    assert changed == 4 * PARTITIONS, "every sensor shard"
    assert cadences(before) == {(part.version, False)}
    assert cadences(store(site)) == {(later, True)}
    assert read_layout(store(site), needed) is not None
    assert copies.migrate(store(site), "9.9") is None


def test_a_store_from_before_alerts_is_migrated_and_goes_on_to_the_same_rows(
    make_site: MakeSite, undisturbed: Site
) -> None:
    site = make_site("before_alerts")
    stop_in_mid_stream(site, len(undisturbed.stored("readings")))
    assert without_alerts(store(site)) > 4 * PARTITIONS, "every sensor shard, and windows"
    with site.worker() as refused:
        assert refused.wait(60) == 1
    assert "sensors 2 -> 3, windows 1 -> 2" in site.log
    assert "streamgauge state migrate" in site.log
    done = state(site, "migrate")
    assert done.returncode == 0, done.stderr
    site.run_to_end()
    assert_same_rows(site, undisturbed)


def without_alerts(directory: Path) -> int:
    """Take a store to the shape that states had before there were alerts; how many states that were."""
    before = {"sensors": 2, "windows": 1}
    files = part_files(directory, STORE_FILES)
    with all_of(files) as connections:
        epoch = progress(connections).resume_epoch
    changed = 0
    for file in files:
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            for one in list(newest_snapshots(connection, epoch)):
                step, now = states.step_of(one.step), states.opened(one)
                if now is not None and step in before:
                    data = pickle.dumps((one.key, pack((before[step], *now[1:-1]))))
                    connection.execute(
                        "UPDATE snaps SET ser_change = ? WHERE step_id = ? AND state_key = ? AND snap_epoch = ?",
                        (data, one.step, one.key, one.epoch),
                    )
                    changed += 1
    layout = copies.existing_layout(directory)
    write_layout(directory, msgspec.structs.replace(layout, state_versions=layout.state_versions | before))
    return changed


def cadences(directory: Path) -> set[tuple[int, bool]]:
    """Version of the cadence in each sensor shard, and whether the migration has been at it."""
    with all_of(part_files(directory, STORE_FILES)) as connections:
        epoch = progress(connections).resume_epoch
        kept = [one for connection in connections for one in newest_snapshots(connection, epoch)]
    found = [states.opened(one) for one in kept if states.step_of(one.step) == "sensors"]
    path = states.PARTS["cadence"].path
    return {(state[path[0]][0], isinstance(state[path[0]][-1], str)) for state in found if state is not None}
