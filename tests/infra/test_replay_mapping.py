"""Which columns are what: found out, or as told."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infra.simulate.files import ReplayError
from infra.simulate.mapping import ColumnMapping, Plan, plans
from operators.batches import Series

Found = Callable[..., Plan]


@pytest.fixture
def found(tmp_path: Path) -> Found:
    """The plan for hall/pump.csv with these lines."""

    def found(*lines: str, **told: object) -> Plan:
        path = tmp_path / "hall" / "pump.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines))
        (plan,) = plans([path], ColumnMapping(**told))  # type: ignore[arg-type]
        assert plan is not None
        return plan

    return found


def test_one_value_column(found: Found) -> None:
    plan = found("when,value", "2020-01-01,1")
    assert (plan.time, plan.label) == ("when", "")
    assert plan.values == (("value", Series("pump", "pump", "hall")),)


def test_a_telling_column_name_is_the_type(found: Found) -> None:
    assert found("at,temperature", "2020-01-01,1").values == (("temperature", Series("pump", "temperature", "hall")),)


def test_every_column_of_numbers_is_a_sensor(found: Found) -> None:
    plan = found(
        ",state,bytes,datetime,Current,Flow Rate,changepoint,anomaly,seq",
        "0,on,200000000000,2020-01-01 10:00:00,0.5,7,0,1,1",
        "1,off,bad,2020-01-01 10:00:01,,7,0,0,2",
        "2,off,1,2020-01-01 10:00:01,n/a,7,0,0,3",
        "3,off,1,2020-01-01 10:00:02,1,7,0,0,4",
    )
    assert (plan.time, plan.label, plan.several) == ("datetime", "anomaly", True)
    assert [(column, *series[:3]) for column, series in plan.values] == [
        ("bytes", "pump.bytes", "bytes", "hall"),
        ("Current", "pump.Current", "Current", "hall"),
        ("Flow Rate", "pump.Flow Rate", "Flow Rate", "hall"),
    ]
    assert plan.ignored == ("", "state", "changepoint", "seq")


@pytest.mark.parametrize("name", ["timestamp", "Time (s)", "event_date", "TS", "row_ts"])
def test_epoch_numbers_are_times_under_a_fitting_name(found: Found, name: str) -> None:
    assert found(f"watts,{name}", "1500000000,1500000000").time == name


@pytest.mark.parametrize("name", ["watts", "count", "value"])
def test_large_numbers_are_no_times(found: Found, name: str) -> None:
    with pytest.raises(ReplayError, match=f"no column holds times; say time_column, one of '{name}', 'v'"):
        found(f"{name},v", "1500000000,1")


def test_small_numbers_are_times_only_when_told(found: Found) -> None:
    with pytest.raises(ReplayError, match="no column holds times"):
        found("time,v", "12,1")
    assert found("time,v", "12,1", time_column="time").time == "time"


def test_columns_named_as_the_fields_of_a_reading_are_taken_for_them(found: Found) -> None:
    plan = found("timestamp,Sensor_ID,value,battery,unit,location", "2020-01-01,a,1,99,K,roof")
    assert [column for column, _ in plan.values] == ["value"]
    assert dict(plan.texts) == {"sensor_id": "Sensor_ID", "unit": "unit", "location": "location"}
    assert not plan.named_after_file


def test_told_texts_and_columns(found: Found) -> None:
    plan = found(
        "t1,t2,who,a,b,truth",
        "2020-01-01,2021-01-01,x,1,2,spike",
        time_column="t2",
        value_columns=("b", "a"),
        sensor_id="@who",
        sensor_type="vibration",
        unit="mm/s",
        asset_id="press-1",
        label_column="truth",
    )
    assert (plan.time, plan.label, plan.texts) == ("t2", "truth", (("sensor_id", "who"),))
    assert plan.values[0] == ("b", Series("pump.b", "vibration", "hall", "press-1", "mm/s"))


def test_a_given_sensor_id_gets_the_column_behind_it_when_there_are_several(found: Found) -> None:
    ids = [series.sensor_id for _, series in found("t,a,b", "2020-01-01,1,2", sensor_id="p7").values]
    assert ids == ["p7.a", "p7.b"]
    assert found("t,a", "2020-01-01,1", sensor_id="p7").values[0][1].sensor_id == "p7"


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"time_column": "when"}, "time_column = 'when': no such column; there are 't', 'v', 'w'"),
        ({"value_columns": ("v", "x")}, "value_columns = 'x': no such column"),
        ({"label_column": "x"}, "label_column = 'x': no such column"),
        ({"location": "@x"}, "location = 'x': no such column"),
        ({"zone": "Mars/Olympus"}, "zone 'Mars/Olympus': no such time zone"),
        ({"time_column": "v", "value_columns": ()}, ""),
    ],
)
def test_what_is_not_there_is_said(found: Found, told: dict[str, object], message: str) -> None:
    lines = ("t,v,w", "2020-01-01,1,x")
    if message:
        with pytest.raises(ReplayError, match=message):
            found(*lines, **told)
    else:
        with pytest.raises(ReplayError, match="no column holds numbers; say value_columns, some of 't', 'v', 'w'"):
            found(*lines, **told)


def test_files_of_one_name_are_told_apart_by_folder(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a/1.csv", "b/1.csv", "b/2.csv", "c/b/1.csv")]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("t,value\n2020-01-01,1\n")
    made = [plan.values[0][1].sensor_id for plan in plans(paths[:3], ColumnMapping()) if plan]
    assert made == ["a/1", "b/1", "2"]
    with pytest.raises(ReplayError, match="another file already gives its sensors the name 'b/1'"):
        plans(paths, ColumnMapping())
    assert len(plans(paths, ColumnMapping(sensor_id="one"))) == 4


def test_a_file_of_rubbish_is_refused_but_an_empty_one_is_not(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("what\nis this\n")
    with pytest.raises(ReplayError, match="no row can be read; line 1: not JSON"):
        plans([tmp_path / "a.jsonl"], ColumnMapping())
    (tmp_path / "b.csv").write_text("t,v\n")
    assert plans([tmp_path / "b.csv"], ColumnMapping()) == [None]
