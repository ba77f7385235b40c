"""Cells of files: what is a time, a number, a label, and what is none."""

from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from infra.simulate import cells

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    "cell",
    [
        "2013-07-04 00:00:00",
        " 2013-07-04T00:00:00.0009Z ",
        "2013-07-04T02:00:00+02:00",
        "2013-07-04",
        "1372896000",
        "1372896000.0004",
        "1372896000000",
        "1372896000000000",
        1372896000000000999,
        1372896000.0,
        Decimal("1372896000"),
        date(2013, 7, 4),
        datetime(2013, 7, 4),
        datetime(2013, 7, 4, 2, tzinfo=BERLIN),
    ],
)
def test_times(cell: object) -> None:
    assert cells.epoch_ms(cell, UTC) == 1_372_896_000_000


def test_a_time_without_zone_is_in_the_given_zone() -> None:
    assert cells.epoch_ms("2013-07-04 02:00:00", BERLIN) == 1_372_896_000_000
    assert cells.epoch_ms("2013-01-04 01:00:00", BERLIN) == 1_357_257_600_000
    assert cells.epoch_ms("2013-07-04 00:00:00Z", BERLIN) == 1_372_896_000_000


@pytest.mark.parametrize(
    "cell", ["", None, "soon", "2013-13-01", "04.07.2013", True, [1], "inf", "1e300", "1_000_000_000"]
)
def test_no_times(cell: object) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        cells.epoch_ms(cell, UTC)


def test_digits_are_never_a_date() -> None:
    assert cells.epoch_ms("1404122500000", UTC) == 1_404_122_500_000, "not Christmas 1404"


def test_numbers() -> None:
    assert [cells.number(cell) for cell in ("1", " -2.5e3 ", 7, 0.5, Decimal("1.25"))] == [1.0, -2500.0, 7.0, 0.5, 1.25]


@pytest.mark.parametrize("cell", ["one", "1,5", "1_000", True, None, "0x10", [1.0], 10**400])
def test_no_numbers(cell: object) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        cells.number(cell)


@pytest.mark.parametrize("cell", ["nan", "Infinity", float("-inf")])
def test_not_finite(cell: object) -> None:
    with pytest.raises(ValueError, match="is not a finite number"):
        cells.number(cell)


def test_ground_truth() -> None:
    truth = {"0": "normal", "1": "anomaly", "0.0": "normal", 1: "anomaly", False: "normal", "spike": "spike", "2": "2"}
    assert [cells.ground_truth(cell) for cell in truth] == list(truth.values())
    assert cells.ground_truth(None) == cells.ground_truth(" ") == ""


def test_reasons_are_short() -> None:
    with pytest.raises(ValueError, match="is not a number") as caught:
        cells.number("x" * 10_000)
    assert len(str(caught.value)) < 100
