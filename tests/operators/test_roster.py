"""Roster: who is at which slot, and that slots of those who are gone are given out anew, the lowest first."""

import numpy as np

from operators.batches import Labels, Series
from operators.roster import NOBODY, Roster


def pump(number: int, location: str = "hall") -> Series:
    return Series(f"pump-{number}", "pressure", location)


def labels(roster: Roster, *slots: int) -> list[str]:
    found = roster.labels(np.array(slots), ["sensor_id"])["sensor_id"]
    assert isinstance(found, Labels)
    return found.tolist()


def test_a_sensor_with_other_labels_is_another_series_of_the_same_sensor() -> None:
    roster = Roster()
    assert [roster.slot(pump(1)), roster.slot(pump(2)), roster.slot(pump(1, "yard")), roster.slot(pump(1))] == [
        0,
        1,
        2,
        0,
    ]
    new = roster.newcomers()
    assert new is not None
    assert new.slots.tolist() == [0, 1, 2]
    assert (new.sensor_slots.tolist(), new.sensors) == ([0, 1], [pump(1), pump(2)])
    assert roster.sensor_of.tolist() == [0, 1, 0]
    assert roster.newcomers() is None


def test_free_slots_are_given_out_anew_the_lowest_first() -> None:
    roster = Roster()
    for number in range(5):
        roster.slot(pump(number))
    roster.slot(pump(1, "yard"))
    roster.newcomers()
    kept = roster.labels(np.arange(6))["sensor_id"]
    assert isinstance(kept, Labels)
    assert roster.dismiss(np.array([3, 1])).tolist() == [1, 3, 5]
    assert roster.sensor_of.tolist() == [0, NOBODY, 2, NOBODY, 4, NOBODY]
    assert roster.present().tolist() == [True, False, True, False, True]
    assert kept.tolist()[1] == "pump-1", "rows that were given out keep their labels"
    assert [roster.slot(pump(number)) for number in (7, 8, 9, 10)] == [1, 3, 5, 6]
    new = roster.newcomers()
    assert new is not None
    assert new.sensor_slots.tolist() == [1, 3, 5, 6]
    assert labels(roster, *range(7)) == [f"pump-{number}" for number in (0, 7, 2, 8, 4, 9, 10)]
    assert [roster.sensor_id(sensor) for sensor in (1, 2)] == ["pump-7", "pump-2"]


def test_goes_on_from_a_snapshot_with_its_free_slots() -> None:
    roster = Roster()
    for number in range(4):
        roster.slot(pump(number))
    roster.newcomers()
    roster.dismiss(np.array([0, 2]))
    again = Roster()
    again.load(roster.snapshot())
    new = again.newcomers()
    assert new is not None
    assert (new.slots.tolist(), new.sensor_slots.tolist()) == ([1, 3], [1, 3])
    for one in (roster, again):
        assert [one.slot(pump(number)) for number in (3, 9, 8, 7)] == [3, 0, 2, 4]
        one.newcomers()
        assert labels(one, 0, 1, 2, 3, 4) == [f"pump-{number}" for number in (9, 1, 8, 3, 7)]
        assert one.sensor_of.tolist() == [0, 1, 2, 3, 4]
