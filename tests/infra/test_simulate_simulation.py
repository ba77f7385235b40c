"""The simulation: the same readings however they are asked for, true labels, plausible values."""

from itertools import pairwise

import msgspec
import numpy as np
import pytest

from infra.simulate.config import (
    DEFAULT_MODELS,
    FAULT_KINDS,
    FaultKind,
    FaultModel,
    SensorModel,
    SimulationConfig,
    SimulationError,
)
from infra.simulate.disturbances import DEFECTS
from infra.simulate.faults import LABELS, NORMAL
from infra.simulate.simulation import Message, Simulation
from operators.batches import Messages
from operators.decode import Decoded, decode
from operators.records import Reading
from operators.registry import Registry
from operators.series_codes import SeriesCodes

START_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
ROUGH = SimulationConfig(rate=500.0, sensors=40, disorder=0.2, bad_share=0.05)


def decoded(messages: list[Message]) -> list[Reading]:
    return [msgspec.json.decode(payload, type=Reading) for _, payload, _ in messages]


@pytest.mark.parametrize("config", [SimulationConfig(rate=333.3), ROUGH], ids=["clean", "disturbed"])
def test_same_messages_whatever_the_pieces(config: SimulationConfig) -> None:
    whole = Simulation(config).batch(START_MS, START_MS + 60_000)
    pieces: list[Message] = []
    simulation = Simulation(config)
    borders = [0, 1, 2, 500, 501, 7_777, 30_000, 59_999, 60_000]
    for start, end in pairwise(borders):
        pieces += simulation.batch(START_MS + start, START_MS + end)
    assert pieces == whole
    assert len(whole) > 10_000


def test_another_seed_gives_other_readings() -> None:
    one, other = (Simulation(SimulationConfig(seed=seed)).columns(START_MS, START_MS + 10_000) for seed in (1, 2))
    assert (one.value[:500] != other.value[:500]).mean() > 0.9


def test_a_reading_depends_on_its_sensor_and_time_not_on_rate_or_company() -> None:
    def readings(config: SimulationConfig) -> dict[tuple[str, int], tuple[float, str]]:
        simulation = Simulation(config)
        rows = simulation.columns(START_MS, START_MS + 5_000)
        columns = (rows.sensor.tolist(), rows.time_ms.tolist(), rows.value.tolist(), rows.label.tolist())
        names = [s.sensor_id for s in simulation.series]
        return {(names[s], t): (value, LABELS[label]) for s, t, value, label in zip(*columns, strict=True)}

    few, many = readings(SimulationConfig(rate=3500.0)), readings(SimulationConfig(sensors=70, rate=70_000.0))
    shared = few.keys() & many.keys()
    assert len(shared) > 10_000
    assert {k: few[k] for k in shared} == {k: many[k] for k in shared}


def test_rate_is_kept_and_time_runs_forward() -> None:
    config = SimulationConfig(rate=7.3, fault_share=0.0)
    rows = Simulation(config).columns(START_MS, START_MS + 1_000_000)
    assert len(rows) == 7300
    assert (np.diff(rows.time_ms) >= 0).all()
    assert rows.time_ms[0] >= START_MS
    assert rows.time_ms[-1] < START_MS + 1_000_000
    per_sensor = np.bincount(rows.sensor)
    assert per_sensor.max() - per_sensor.min() <= 1


def test_every_type_at_every_location_and_few_sensors_at_all_locations() -> None:
    series = Simulation(SimulationConfig()).series
    assert len({(s.sensor_type, s.location) for s in series}) == len(series) == 35
    assert len({s.location for s in Simulation(SimulationConfig(sensors=5)).series}) == 5
    assert len({s.sensor_id for s in Simulation(SimulationConfig(sensors=1000)).series}) == 1000
    office = next(s for s in series if s.sensor_type == "temperature" and s.location == "office")
    assert (office.sensor_id, office.asset_id, office.unit) == ("temperature-office-01", "office-room-01", "°C")


def test_five_percent_in_faults_of_all_kinds() -> None:
    config = SimulationConfig(sensors=700, rate=10.0)
    rows = Simulation(config).columns(START_MS, START_MS + 12 * HOUR_MS)
    due = 10 * 12 * 3600
    silent = 1 - len(rows) / due
    counts = np.bincount(rows.label, minlength=len(LABELS)) / due
    assert 0.045 < counts[1:].sum() + silent < 0.055
    assert 0.002 < silent < 0.02
    assert (counts[[LABELS.index(kind) for kind in FAULT_KINDS if kind != "silence"]] > 0.0005).all()


def test_half_of_all_readings_may_be_faulty() -> None:
    rows = one_kind("drop", min_s=1, max_s=90, share=0.5).columns(START_MS, START_MS + HOUR_MS)
    assert 0.45 < (rows.label != NORMAL).mean() < 0.55


def test_values_stay_within_the_limits_of_their_type() -> None:
    simulation = Simulation(SimulationConfig(sensors=350, rate=3.5, fault_share=0.2))
    rows = simulation.columns(START_MS, START_MS + 24 * HOUR_MS)
    for name, model in DEFAULT_MODELS.items():
        mine = np.array([s.sensor_type == name for s in simulation.series])[rows.sensor]
        value = rows.value[mine]
        assert model.min <= value.min() <= value.max() <= model.max
        healthy = value[rows.label[mine] == NORMAL]
        assert model.min < healthy.min() < healthy.max() < model.max, f"{name} is cut at its limits though healthy"


def one_kind(kind: FaultKind, *, min_s: float, max_s: float, share: float = 0.3) -> Simulation:
    """Eight sensors around 100, each sending once a second, with faults of one kind."""
    model = SensorModel(unit="u", baseline=100.0, noise=1.0, spike=50.0, decimals=6)
    config = SimulationConfig(
        sensors=8,
        rate=8.0,
        types=dict.fromkeys(DEFAULT_MODELS, model),
        fault_share=share,
        inject=(kind,),
        faults={kind: FaultModel(weight=1, min_s=min_s, max_s=max_s)},
    )
    return Simulation(config)


def test_spikes_drops_and_drifts_move_the_value_as_labelled() -> None:
    bands: dict[FaultKind, tuple[float, float]] = {"spike": (30, 70), "drop": (-70, -30), "drift": (-70, 70)}
    for kind, (low, high) in bands.items():
        rows = one_kind(kind, min_s=20, max_s=40).columns(START_MS, START_MS + HOUR_MS)
        away = rows.value - 100
        faulty = rows.label == LABELS.index(kind)
        assert 0.25 < faulty.mean() < 0.35
        assert (np.abs(away[~faulty]) < 5).all()
        assert ((low < away[faulty]) & (away[faulty] < high)).all()
    assert np.abs(away[faulty]).max() > 40


def test_a_stuck_sensor_repeats_one_value_per_episode() -> None:
    rows = one_kind("stuck", min_s=60, max_s=80).columns(START_MS, START_MS + HOUR_MS)
    for sensor in range(8):
        mine = rows.sensor == sensor
        value, stuck = rows.value[mine], rows.label[mine] != NORMAL
        within = stuck[1:] & stuck[:-1]
        changes = (np.diff(value) != 0) & within
        episodes = int((np.diff(stuck.astype(int)) == 1).sum())
        assert episodes > 5
        assert changes.sum() <= 3, "only where one episode follows the other at once"
        assert (np.diff(value)[~stuck[1:] & ~stuck[:-1]] != 0).mean() > 0.99


def test_a_noise_burst_is_noisier() -> None:
    rows = one_kind("noise_burst", min_s=20, max_s=40).columns(START_MS, START_MS + HOUR_MS)
    burst = rows.label != NORMAL
    assert rows.value[burst].std() > 5 * rows.value[~burst].std()


def test_silence_sends_nothing() -> None:
    rows = one_kind("silence", min_s=20, max_s=40).columns(START_MS, START_MS + HOUR_MS)
    assert (rows.label == NORMAL).all()
    assert 0.65 < len(rows) / (8 * 3600) < 0.75
    gaps = np.diff(rows.time_ms[rows.sensor == 0])
    assert gaps.min() == 1000
    assert 20_000 <= gaps.max() <= 85_000


def test_payloads_are_readings_keyed_by_sensor() -> None:
    simulation = Simulation(SimulationConfig())
    messages = simulation.batch(START_MS, START_MS + 60_000)
    rows = simulation.columns(START_MS, START_MS + 60_000)
    readings = decoded(messages)
    assert [r.value for r in readings] == rows.value.tolist()
    assert [r.timestamp for r in readings] == rows.time_ms.tolist() == [time_ms for _, _, time_ms in messages]
    assert [r.label for r in readings] == [LABELS[code] for code in rows.label.tolist()]
    assert [r.sensor_id.encode() for r in readings] == [key for key, _, _ in messages]
    for reading, sensor in zip(readings[:100], rows.sensor[:100].tolist(), strict=True):
        assert (reading.sensor_id, reading.sensor_type, reading.location, reading.asset_id, reading.unit) == (
            simulation.series[sensor]
        )


def test_disorder_delays_repeats_and_contradicts() -> None:
    config = SimulationConfig(rate=200.0, disorder=0.2)
    clean = decoded(Simulation(SimulationConfig(rate=200.0)).batch(START_MS, START_MS + 60_000))
    messages = Simulation(config).batch(START_MS, START_MS + 90_000)
    assert (np.diff([sent_ms for _, _, sent_ms in messages]) >= 0).all()
    delays = [sent_ms - int(r.timestamp) for r, (_, _, sent_ms) in zip(decoded(messages), messages, strict=True)]
    assert min(delays) == 0
    assert max(delays) <= 20_000
    assert 0.02 < np.mean([delay > 10_000 for delay in delays]) < 0.06

    seen: dict[tuple[str, int | str], list[float]] = {}
    for reading in decoded(messages):
        seen.setdefault((reading.sensor_id, reading.timestamp), []).append(reading.value)
    for reading in clean:
        assert reading.value in seen[reading.sensor_id, reading.timestamp], "a delayed reading does arrive"
    again = [values for values in seen.values() if len(values) == 2]
    same = sum(first == second for first, second in again)
    assert 0.02 < same / len(seen) < 0.08
    assert 0.005 < (len(again) - same) / len(seen) < 0.04


def test_bad_messages_come_in_addition() -> None:
    good = Simulation(SimulationConfig(rate=200.0)).batch(START_MS, START_MS + 60_000)
    mixed = Simulation(SimulationConfig(rate=200.0, bad_share=0.1)).batch(START_MS, START_MS + 60_000)
    assert set(good) <= set(mixed)
    fine = {payload for _, payload, _ in good}
    bad = [payload for _, payload, _ in mixed if payload not in fine]
    assert 0.08 < len(bad) / len(good) < 0.12


def decode_all(messages: list[Message]) -> Decoded:
    batch = Messages(
        payloads=[payload for _, payload, _ in messages],
        offsets=np.arange(len(messages)),
        kafka_ms=np.array([sent_ms for _, _, sent_ms in messages]),
    )
    return decode(batch, SeriesCodes(Registry()), max_payload_bytes=1_000_000, max_ahead_ms=60_000)


def test_the_flow_accepts_every_reading_also_delayed_ones_and_refuses_every_defect() -> None:
    messages = Simulation(ROUGH).batch(START_MS, START_MS + 60_000)
    good = Simulation(msgspec.structs.replace(ROUGH, bad_share=0.0)).batch(START_MS, START_MS + 60_000)
    found = decode_all(messages)
    assert len(found.value) == len(good)
    assert len(found.rejects) == len(messages) - len(good) > 1_000


@pytest.mark.parametrize("name", DEFECTS)
def test_every_defect_is_refused(name: str) -> None:
    (key, good, sent_ms), *_ = Simulation(SimulationConfig()).batch(START_MS, START_MS + 1000)
    found = decode_all([(key, good, sent_ms), (key, DEFECTS[name](good), sent_ms)])
    assert len(found.value) == len(found.rejects) == 1


def test_a_new_sensor_type_is_configuration() -> None:
    raw = {"sensors": 40, "types": {"noise": {"unit": "dB", "baseline": 45, "noise": 1.5, "spike": 25, "min": 0}}}
    simulation = Simulation(msgspec.convert(raw, SimulationConfig))
    sensor = next(i for i, s in enumerate(simulation.series) if s.sensor_type == "noise")
    rows = simulation.columns(START_MS, START_MS + 600_000)
    assert simulation.series[sensor].unit == "dB"
    assert 40 < np.median(rows.value[rows.sensor == sensor]) < 50


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (SimulationConfig(rate=0.0), "rate: Expected `float` >= 0.001"),
        (SimulationConfig(fault_share=0.6), "fault_share: Expected `float` <= 0.5"),
        (SimulationConfig(faults={"drop": FaultModel(weight=-1, min_s=1, max_s=1)}), "faults.*Expected `float` >= 0.0"),
        (SimulationConfig(rate=50_000.0), "at least 50 sensors"),
        (SimulationConfig(locations=("a", "a")), "each location once"),
        (SimulationConfig(faults={"drop": FaultModel(weight=1, min_s=9, max_s=3)}), "min_s = 9 must be at most"),
        (SimulationConfig(types={"x": SensorModel(unit="", baseline=0, noise=0, spike=0, max=-1, min=1)}), "types.x"),
    ],
)
def test_wrong_configuration_is_told_in_one_line(config: SimulationConfig, message: str) -> None:
    with pytest.raises(SimulationError, match=message):
        Simulation(config)
