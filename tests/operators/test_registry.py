"""The registry: completing labels, limits in their unit, intervals, unknown types."""

from math import isnan, nan

import pytest

from operators.batches import Series
from operators.registry import Registry, SensorInfo, TypeInfo

REGISTRY = Registry(
    sensors={
        "press": SensorInfo("temperature", "hall", "press-7", "°C", -10, nan, 5_000),
        "bare": SensorInfo(location="yard"),
        "odd": SensorInfo("odour", min_value=1),
    },
    types={"temperature": TypeInfo("°C", -40, 125, 60_000), "humidity": TypeInfo("%", 0, 100)},
)


@pytest.mark.parametrize(
    ("sent", "completed"),
    [
        (Series("press"), Series("press", "temperature", "hall", "press-7", "°C")),
        (Series("press", location="roof", unit="K"), Series("press", "temperature", "roof", "press-7", "K")),
        (Series("bare", "humidity"), Series("bare", "humidity", "yard", "", "%")),
        (Series("new", "humidity"), Series("new", "humidity", "", "", "%")),
        (Series("new"), Series("new")),
        (Series("press", "humidity"), Series("press", "humidity", "", "", "%")),
    ],
)
def test_what_a_reading_says_goes_before_its_entry_and_that_before_its_type(sent: Series, completed: Series) -> None:
    assert REGISTRY.complete(sent) == completed
    assert REGISTRY.complete(completed) == completed


@pytest.mark.parametrize(
    ("series", "limits"),
    [
        (Series("press", "temperature", unit="°C"), (-10, 125)),
        (Series("press", "temperature", unit="K"), (nan, nan)),
        (Series("press", "humidity", unit="%"), (0, 100)),
        (Series("new", "temperature", unit="°C"), (-40, 125)),
        (Series("new", "temperature", unit="°F"), (nan, nan)),
        (Series("odd", "odour", unit="OU"), (1, nan)),
        (Series("new", "noise"), (nan, nan)),
    ],
)
def test_limits_hold_in_their_unit(series: Series, limits: tuple[float, float]) -> None:
    assert REGISTRY.limits(series) == pytest.approx(limits, nan_ok=True)


def test_intervals_come_from_the_sensor_then_from_its_type() -> None:
    assert REGISTRY.interval_ms(Series("press", "temperature")) == 5_000
    assert REGISTRY.interval_ms(Series("new", "temperature")) == 60_000
    assert isnan(REGISTRY.interval_ms(Series("new", "humidity")))


def test_types_are_known_by_configuration_or_by_their_sensors_entry() -> None:
    assert REGISTRY.knows(Series("new", "humidity"))
    assert REGISTRY.knows(Series("odd", "odour"))
    assert not REGISTRY.knows(Series("new", "odour"))
    assert not REGISTRY.knows(Series("new"))
    assert not REGISTRY.refuses(Series("new", "odour"))
    assert Registry(unknown_types="refuse").refuses(Series("new", "odour"))
