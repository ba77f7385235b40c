"""What to simulate: sensors, their types, the faults injected into them. Plain frozen structs, readable from TOML.

[simulate]
sensors = 70
[simulate.types.noise]          # a new sensor type is configuration
unit = "dB"
baseline = 45.0
baseline_by_location = { factory_floor = 78.0 }
noise = 1.5
spike = 25.0
"""

import math
from typing import Annotated, Literal

import msgspec

FaultKind = Literal["spike", "drop", "drift", "stuck", "noise_burst", "silence"]
FAULT_KINDS: tuple[FaultKind, ...] = ("spike", "drop", "drift", "stuck", "noise_burst", "silence")
LOCATIONS = ("server_room", "office", "warehouse", "laboratory", "factory_floor")

Rate = Annotated[float, msgspec.Meta(ge=0.001)]
Seconds = Annotated[float, msgspec.Meta(ge=0.001, le=86_400)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=0.5)]


class SimulationError(ValueError):
    """The configuration of the simulator is wrong; the message says which field and what is allowed."""


class SensorModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the sensors of one type behave. All numbers are in `unit` unless they say otherwise.

    baseline: mean value; baseline_by_location: where it is another one.
    daily_amplitude: half the way from the coolest to the warmest hour; the maximum is at peak_hour (UTC).
    noise: standard deviation of the noise on each reading.
    drift: how far a sensor slowly wanders off either way within hours; sensors also differ by up to this much.
    spike: the size of an injected fault.
    min, max: what the sensor can show; values are cut there.
    decimals: digits after the point.
    """

    unit: str
    baseline: float
    noise: NotNegative
    spike: float
    baseline_by_location: dict[str, float] = {}
    daily_amplitude: float = 0.0
    peak_hour: Annotated[float, msgspec.Meta(ge=0, lt=24)] = 15.0
    drift: NotNegative = 0.0
    min: float = -math.inf
    max: float = math.inf
    decimals: Annotated[int, msgspec.Meta(ge=0, le=9)] = 2


class FaultModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often a kind of fault happens beside the other kinds (`weight`), and for how long, seconds."""

    weight: NotNegative
    min_s: Seconds
    max_s: Seconds


DEFAULT_MODELS: dict[str, SensorModel] = {
    "temperature": SensorModel(
        unit="°C",
        baseline=21.5,
        baseline_by_location={"server_room": 23.0, "warehouse": 16.0, "laboratory": 20.5, "factory_floor": 25.0},
        daily_amplitude=1.8,
        noise=0.15,
        drift=0.6,
        spike=6.0,
        min=-40,
        max=125,
    ),
    "humidity": SensorModel(
        unit="%",
        baseline=45.0,
        baseline_by_location={"server_room": 40.0, "warehouse": 55.0, "factory_floor": 50.0},
        daily_amplitude=4.0,
        peak_hour=4.0,
        noise=0.5,
        drift=2.5,
        spike=20.0,
        min=0,
        max=100,
    ),
    "air_quality": SensorModel(
        unit="µg/m³",
        baseline=12.0,
        baseline_by_location={"server_room": 8.0, "warehouse": 22.0, "laboratory": 7.5, "factory_floor": 35.0},
        daily_amplitude=2.0,
        peak_hour=9.0,
        noise=0.5,
        drift=1.0,
        spike=45.0,
        min=0,
        max=1000,
    ),
    "pressure": SensorModel(
        unit="hPa",
        baseline=1013.0,
        daily_amplitude=0.8,
        peak_hour=10.0,
        noise=0.1,
        drift=5.0,
        spike=12.0,
        min=300,
        max=1100,
    ),
    "co2": SensorModel(
        unit="ppm",
        baseline=600.0,
        baseline_by_location={"server_room": 480.0, "office": 700.0, "warehouse": 500.0},
        daily_amplitude=90.0,
        peak_hour=14.0,
        noise=8.0,
        drift=25.0,
        spike=700.0,
        min=0,
        max=10_000,
    ),
    "vibration": SensorModel(
        unit="mm/s",
        baseline=0.6,
        baseline_by_location={"server_room": 0.9, "warehouse": 1.4, "factory_floor": 4.5},
        daily_amplitude=0.08,
        noise=0.03,
        drift=0.06,
        spike=4.0,
        min=0,
        max=100,
        decimals=3,
    ),
    "power": SensorModel(
        unit="kW",
        baseline=10.0,
        baseline_by_location={"server_room": 42.0, "laboratory": 16.0, "factory_floor": 120.0},
        daily_amplitude=2.5,
        peak_hour=13.0,
        noise=0.3,
        drift=1.0,
        spike=18.0,
        min=0,
        max=10_000,
    ),
}

DEFAULT_FAULTS: dict[FaultKind, FaultModel] = {
    "spike": FaultModel(weight=6, min_s=1, max_s=4),
    "drop": FaultModel(weight=2, min_s=10, max_s=60),
    "drift": FaultModel(weight=1, min_s=60, max_s=300),
    # Up to twice the ten minutes after which a value counts as stuck by default.
    "stuck": FaultModel(weight=0.4, min_s=120, max_s=1200),
    "noise_burst": FaultModel(weight=2, min_s=15, max_s=75),
    "silence": FaultModel(weight=1, min_s=30, max_s=150),
}


class SimulationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything the simulator can be told.

    seed: the same seed gives the same readings.
    sensors: how many, spread evenly over locations and types.
    rate: readings a second of all sensors together; each sends every sensors / rate seconds.
    fault_share: share of the readings that fall into faults (those of a silence are not sent), at most one half.
    inject: the kinds of faults to inject.
    types, faults: added to the default ones; one of the same name replaces it.
    bad_share: broken messages sent in addition, per reading.
    disorder: share of the readings that arrive out of order, late, twice, or again with another value.
    """

    seed: int = 1
    sensors: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 35
    rate: Rate = 100.0
    locations: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = LOCATIONS
    fault_share: Share = 0.05
    inject: tuple[FaultKind, ...] = FAULT_KINDS
    types: dict[str, SensorModel] = {}
    faults: dict[FaultKind, FaultModel] = {}
    bad_share: Share = 0.0
    disorder: Share = 0.0

    @property
    def models(self) -> dict[str, SensorModel]:
        """All sensor types by name."""
        return DEFAULT_MODELS | self.types

    @property
    def fault_models(self) -> dict[FaultKind, FaultModel]:
        """The kinds to inject, in the order of FAULT_KINDS."""
        models = DEFAULT_FAULTS | self.faults
        return {kind: models[kind] for kind in FAULT_KINDS if kind in self.inject and models[kind].weight > 0}

    def check(self) -> None:
        """Raises SimulationError: for a field out of its range, and for what one field alone cannot say."""
        try:
            # A struct that was not read from a file has not been looked at yet.
            msgspec.convert(msgspec.to_builtins(self), SimulationConfig)
        except msgspec.ValidationError as error:
            what, _, field = str(error).partition(" - at `$.")
            raise SimulationError(f"{field.rstrip('`')}: {what}") from None
        if self.rate > 1000 * self.sensors:
            raise SimulationError(
                f"rate = {self.rate:g}: at most 1000 readings a second from each of {self.sensors} sensors; "
                f"ask for at least {math.ceil(self.rate / 1000)} sensors"
            )
        if len(set(self.locations)) < len(self.locations):
            raise SimulationError(f"locations = {list(self.locations)}: name each location once")
        for kind, fault in self.fault_models.items():
            if fault.min_s > fault.max_s:
                raise SimulationError(f"faults.{kind}: min_s = {fault.min_s:g} must be at most max_s = {fault.max_s:g}")
        for name, model in self.models.items():
            if model.min >= model.max:
                raise SimulationError(f"types.{name}: min = {model.min:g} must be below max = {model.max:g}")
