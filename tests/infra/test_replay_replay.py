"""Replaying files: merged by event time, shifted, paced, and nothing dropped in silence."""

import csv
import gzip
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import msgspec
import pyarrow as pa
import pyarrow.parquet
import pytest

from infra.simulate.files import ReplayError
from infra.simulate.mapping import ColumnMapping
from infra.simulate.replay import MAX_PROBLEMS, Problem, Replay, replay
from infra.simulate.simulation import Message
from operators.records import Reading

DATA = Path(__file__).parent.parent.parent.parent / "shared" / "data"
T0 = 1_577_836_800_000
"""2020-01-01T00:00:00Z"""


def stamp(second: int) -> str:
    return datetime.fromtimestamp(T0 / 1000 + second, UTC).strftime("%Y-%m-%d %H:%M:%S")


def write_csv(path: Path, *seconds: int) -> Path:
    """One reading per second given; its value is its line."""
    path.write_text("t,value\n" + "".join(f"{stamp(s)},{line}\n" for line, s in enumerate(seconds, start=2)))
    return path


def decoded(messages: list[Message]) -> list[Reading]:
    return [msgspec.json.decode(payload, type=Reading) for _, payload, _ in messages]


def order(source: Replay) -> list[tuple[str, int]]:
    """(sensor, second) as they would be sent."""
    return [(key.decode(), (time_ms - T0) // 1000) for key, _, time_ms in source.messages()]


def test_files_are_merged_by_event_time(tmp_path: Path) -> None:
    a, b = write_csv(tmp_path / "a.csv", 1, 3, 5), write_csv(tmp_path / "b.csv", 2, 3, 4)
    assert order(Replay([a, b])) == [("a", 1), ("b", 2), ("a", 3), ("b", 3), ("b", 4), ("a", 5)]


def test_disorder_within_a_file_stays_as_it_is(tmp_path: Path) -> None:
    a, b = write_csv(tmp_path / "a.csv", 1, 10, 4, 5, 11), write_csv(tmp_path / "b.csv", 6, 10, 12)
    assert order(Replay([a, b])) == [
        ("a", 1),
        ("b", 6),
        *[("a", 10), ("a", 4), ("a", 5)],  # 4 and 5 came after 10 in the file
        ("b", 10),
        ("a", 11),
        ("b", 12),
    ]


@pytest.mark.parametrize("form", ["csv", "csv.gz", "jsonl", "jsonl.gz", "parquet", "parquet.gz"])
def test_every_format_gives_the_same_readings(tmp_path: Path, form: str) -> None:
    records = [{"when": stamp(s), "temp": s / 4, "hum": None if s == 2 else s, "anomaly": int(s > 3)} for s in range(5)]
    path = tmp_path / f"lab.{form}"
    if "csv" in form:
        rows = [",".join("" if v is None else str(v) for v in record.values()) for record in records]
        content = "\n".join(["when,temp,hum,anomaly", *rows]).encode()
    elif "jsonl" in form:
        content = msgspec.json.Encoder().encode_lines(records)
    else:
        table = pa.Table.from_pylist(records)
        when = pa.array([datetime.fromisoformat(r["when"]) for r in records], pa.timestamp("ms"))  # type: ignore[arg-type]
        pyarrow.parquet.write_table(table.set_column(0, "when", when), tmp_path / "made")
        content = (tmp_path / "made").read_bytes()
    path.write_bytes(gzip.compress(content) if form.endswith("gz") else content)

    source = Replay([path], mapping=ColumnMapping(location="lab", unit="u"))
    messages = list(source.messages())
    assert [(r.sensor_id, r.timestamp, r.value, r.label) for r in decoded(messages)] == [
        (f"lab.{column}", T0 + 1000 * s, value, "anomaly" if s > 3 else "normal")
        for s in range(5)
        for column, value in (("temp", s / 4), ("hum", float(s)))
        if (s, column) != (2, "hum")
    ]
    for (key, _, time_ms), reading in zip(messages, decoded(messages), strict=True):
        assert (key.decode(), time_ms) == (reading.sensor_id, reading.timestamp)
        assert (reading.sensor_type, reading.location, reading.unit) == (reading.sensor_id[4:], "lab", "u")
    (summary,) = source.files
    assert (summary.rows, summary.readings, summary.empty, summary.refused) == (5, 9, 1, 0)
    assert (summary.first_ms, summary.last_ms) == (T0, T0 + 4000)


def test_readings_written_by_ourselves_come_back_unchanged(tmp_path: Path) -> None:
    before = [
        Reading(
            f"s{i % 3}", i / 8, T0 + i, "power", f"hall {i % 2}", "kW", f"m{i % 3}", label="spike" if i == 7 else ""
        )
        for i in range(20)
    ]
    plain = [{f: getattr(r, f) for f in r.__struct_fields__ if f != "attributes"} for r in before]
    (tmp_path / "r.jsonl").write_bytes(msgspec.json.Encoder().encode_lines(plain))
    assert decoded(list(Replay([tmp_path / "r.jsonl"]).messages())) == before


def test_what_cannot_be_understood_is_counted_and_told(tmp_path: Path) -> None:
    lines = [
        "id,t,a,b",
        f"x,{stamp(1)},1,2",
        "x,soon,1,2",
        f"x,{stamp(2)},one,2",
        f"x,{stamp(3)},1",
        f",{stamp(4)},1,",
        "x,,1,2",
        "x,1960-01-01,1,2",
        f"x,{stamp(5)},,",
    ]
    (tmp_path / "f.csv").write_text("\n".join(lines))
    source = Replay([tmp_path / "f.csv"], mapping=ColumnMapping(sensor_id="@id"))
    readings = decoded(list(source.messages()))
    assert [(r.sensor_id, r.value) for r in readings] == [("x.a", 1.0), ("x.b", 2.0), ("x.b", 2.0)]
    (summary,) = source.files
    assert (summary.rows, summary.readings, summary.empty, summary.refused) == (8, 3, 3, 6)
    assert summary.problems == [
        Problem(3, "t: 'soon' is not a time (such as 2026-01-31T12:00:00Z, or epoch seconds)"),
        Problem(4, "a: 'one' is not a number"),
        Problem(5, "has 3 columns, the header has 4"),
        Problem(6, "a: Object missing required field `sensor_id`"),
        Problem(7, "t: '' is not a time (such as 2026-01-31T12:00:00Z, or epoch seconds)"),
        Problem(8, "t: before 1970"),
    ]


def test_of_many_problems_the_first_are_kept_and_all_counted(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(f"t,v\n{stamp(0)},1\n" + "never,1\n" * 1000)
    source = Replay([tmp_path / "f.csv"], mapping=ColumnMapping(time_column="t"))
    assert len(list(source.messages())) == 1
    assert source.files[0].refused == 1000
    assert len(source.files[0].problems) == MAX_PROBLEMS


@pytest.mark.parametrize(("start", "end", "shift"), [(100, None, 99), (None, 100, 93), (None, None, 0)])
def test_times_can_be_shifted(tmp_path: Path, start: int | None, end: int | None, shift: int) -> None:
    a, b = write_csv(tmp_path / "a.csv", 3, 7, 5), write_csv(tmp_path / "b.csv", 2, 1)
    source = Replay(
        [a, b],
        start_ms=None if start is None else T0 + 1000 * start,
        end_ms=None if end is None else T0 + 1000 * end,
    )
    assert order(source) == [(name, s + shift) for name, s in (("b", 2), ("b", 1), ("a", 3), ("a", 7), ("a", 5))]
    assert [(f.first_ms, f.last_ms) for f in source.files] == [
        (T0 + 1000 * (3 + shift), T0 + 1000 * (7 + shift)),
        (T0 + 1000 * (1 + shift), T0 + 1000 * (2 + shift)),
    ]


def test_local_times_through_the_end_of_summer_time(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("t,v\n2020-10-25 01:30:00,1\n2020-10-25 02:30:00,2\n2020-10-25 03:30:00,3\n")
    source = Replay([tmp_path / "f.csv"], mapping=ColumnMapping(zone="Europe/Berlin"))
    hours = [time_ms / 3_600_000 for _, _, time_ms in source.messages()]
    assert [hour - hours[0] for hour in hours] == [0, 1, 3]


def test_wrong_use_is_said(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", 1)
    with pytest.raises(ReplayError, match="only"):
        Replay([path], start_ms=1, end_ms=2)
    with pytest.raises(ReplayError, match="given twice"):
        Replay([path, path])
    with pytest.raises(ReplayError, match="speed = -1: must be 0"):
        replay(Replay([path]), TimedProducer(Wall()), topic="t", speed=-1, stop=Event())


class Wall(Event):
    """A stop event and a clock in one: waiting is what makes time pass."""

    def __init__(self, stop_ms: float = float("inf")) -> None:
        super().__init__()
        self.now_ms, self._stop_ms = 0.0, stop_ms

    def clock_ms(self) -> int:
        return int(self.now_ms)

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        assert timeout > 0
        self.now_ms += max(1, 1000 * timeout)
        if self.now_ms >= self._stop_ms:
            self.set()
        return self.is_set()


class TimedProducer:
    """Notes the wall-clock time of each message, milliseconds."""

    def __init__(self, wall: Wall) -> None:
        self._wall = wall
        self.sent_ms: list[int] = []
        self.flushed = 0

    def produce_many(self, topic: str, messages: Iterable[Message]) -> None:
        self.sent_ms += [self._wall.clock_ms() for _ in messages]

    def flush(self) -> None:
        self.flushed = len(self.sent_ms)


@pytest.mark.parametrize(("speed", "expected_s"), [(1, [0, 2, 9, 9, 10]), (2, [0, 1, 4.5, 4.5, 5]), (0, [0] * 5)])
def test_speed(tmp_path: Path, speed: float, expected_s: list[float]) -> None:
    wall = Wall()
    producer = TimedProducer(wall)
    source = Replay([write_csv(tmp_path / "a.csv", 1, 3, 10, 4, 11)])
    files = replay(source, producer, topic="t", speed=speed, stop=wall, clock_ms=wall.clock_ms)
    assert producer.sent_ms == [1000 * s for s in expected_s]
    assert producer.flushed == files[0].readings == 5


def test_a_replay_stops_when_told_and_delivers_what_it_sent(tmp_path: Path) -> None:
    wall = Wall(stop_ms=4000)
    producer = TimedProducer(wall)
    source = Replay([write_csv(tmp_path / "a.csv", *range(100))])
    replay(source, producer, topic="t", speed=1, stop=wall, clock_ms=wall.clock_ms)
    assert len(producer.sent_ms) == producer.flushed == 4


def test_what_was_sent_before_a_file_broke_is_delivered(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(b'{"time":"%b","value":%d}\n' % (stamp(s).encode(), s) for s in range(10_000)))
    (tmp_path / "a.jsonl.gz").write_bytes(whole[:-100])
    producer = TimedProducer(Wall())
    with pytest.raises(ReplayError, match="cannot be read"):
        replay(Replay([tmp_path / "a.jsonl.gz"]), producer, topic="t", stop=Event())
    assert producer.flushed == len(producer.sent_ms) > 5_000


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[int] = []
    source = Replay([write_csv(tmp_path / "a.csv", *range(25_000))])
    replay(source, TimedProducer(Wall()), topic="t", stop=Event(), on_progress=told.append)
    assert told == [10_000, 20_000]


def plain_rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt") as file:
        return list(csv.DictReader(file))


def test_nab() -> None:
    paths = sorted((DATA / "nab" / "realKnownCause").glob("*.csv.gz"))
    if not paths:
        pytest.skip("../shared/data/nab is not here")
    source = Replay(paths)
    readings = decoded(list(source.messages()))
    for path, summary in zip(paths, source.files, strict=True):
        rows = plain_rows(path)
        assert (summary.rows, summary.readings, summary.refused, summary.empty) == (len(rows), len(rows), 0, 0)
        mine = [r for r in readings if r.sensor_id == path.name.removesuffix(".csv.gz")]
        assert [r.value for r in mine] == [float(row["value"]) for row in rows]
        times = [datetime.fromisoformat(row["timestamp"] + "+00:00").timestamp() * 1000 for row in rows]
        assert [r.timestamp for r in mine] == times, "also where the file repeats an hour"
        assert {r.location for r in mine} == {"realKnownCause"}


def test_skab() -> None:
    paths = sorted((DATA / "skab" / "valve1").glob("*.csv.gz"))
    if not paths:
        pytest.skip("../shared/data/skab is not here")
    source = Replay(paths)
    readings = decoded(list(source.messages()))
    assert all(8 * f.rows == f.readings and not f.refused and not f.empty for f in source.files)
    rows = [row for path in paths for row in plain_rows(path)]
    assert len(readings) == 8 * len(rows)
    labels = Counter(r.label for r in readings)
    assert labels["anomaly"] == 8 * sum(row["anomaly"] == "1" for row in rows) > 0
    assert labels["normal"] == 8 * sum(row["anomaly"] == "0" for row in rows)
    flow = [r.value for r in readings if r.sensor_id == "0.Volume Flow RateRMS"]
    assert flow == [float(row["Volume Flow RateRMS"]) for row in plain_rows(DATA / "skab" / "valve1" / "0.csv.gz")]
    times = [int(r.timestamp) for r in readings]
    assert times == sorted(times)
