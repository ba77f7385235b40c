"""Sending the simulation: history, then live, without a seam."""

from collections.abc import Iterable
from threading import Event

from infra.simulate import runner
from infra.simulate.config import SimulationConfig
from infra.simulate.simulation import Message, Simulation

START_MS = 1_790_000_000_000


class ListProducer:
    """Keeps what it is given; `flushed` is how much of it was delivered."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.flushed = 0

    def produce_many(self, topic: str, messages: Iterable[Message]) -> None:
        assert topic == "sensors"
        self.messages += messages

    def flush(self) -> int:
        self.flushed = len(self.messages)
        return self.flushed


class SteppingClock:
    """Each look at it is some milliseconds later."""

    def __init__(self, now_ms: int, step_ms: int) -> None:
        self.now_ms, self.step_ms = now_ms, step_ms

    def __call__(self) -> int:
        self.now_ms += self.step_ms
        return self.now_ms


def test_history_then_live_equals_one_batch() -> None:
    simulation, producer = Simulation(SimulationConfig(rate=10_000.0, disorder=0.1)), ListProducer()
    told: list[int] = []
    split, end = START_MS + 5_000, START_MS + 8_000
    sent = runner.history(simulation, producer, topic="sensors", from_ms=START_MS, to_ms=split, on_progress=told.append)
    assert sent == len(producer.messages) == producer.flushed
    assert told == [START_MS + 2_000, START_MS + 4_000, split], "in batches of bounded size"
    clock = SteppingClock(split, 700)
    sent += runner.live(
        simulation, producer, topic="sensors", from_ms=split, until_ms=end, stop=Event(), clock_ms=clock
    )
    assert producer.messages == simulation.batch(START_MS, end)
    assert sent == producer.flushed


def test_history_stops_when_told_and_delivers_what_it_sent() -> None:
    simulation, producer, stop = Simulation(SimulationConfig(rate=20_000.0)), ListProducer(), Event()
    sent = runner.history(
        simulation,
        producer,
        topic="sensors",
        from_ms=START_MS,
        to_ms=START_MS + 60_000,
        stop=stop,
        on_progress=lambda _: stop.set(),
    )
    assert producer.messages == simulation.batch(START_MS, START_MS + 1_000)
    assert sent == producer.flushed


def test_live_never_runs_ahead_of_the_clock_and_stops_when_told() -> None:
    simulation, producer, stop = Simulation(SimulationConfig(rate=1000.0)), ListProducer(), Event()
    clock = SteppingClock(START_MS, 40)

    def progress(position_ms: int) -> None:
        assert position_ms <= clock.now_ms
        if position_ms >= START_MS + 400:
            stop.set()

    sent = runner.live(
        simulation, producer, topic="sensors", from_ms=START_MS, stop=stop, clock_ms=clock, on_progress=progress
    )
    assert producer.messages == simulation.batch(START_MS, START_MS + 400)
    assert sent == producer.flushed


def test_live_catches_up_in_bounded_steps() -> None:
    simulation, producer = Simulation(SimulationConfig(rate=20_000.0)), ListProducer()
    told: list[int] = []
    late = SteppingClock(START_MS + 10_000, 0)
    until = START_MS + 3_000
    runner.live(
        simulation,
        producer,
        topic="sensors",
        from_ms=START_MS,
        until_ms=until,
        stop=Event(),
        clock_ms=late,
        on_progress=told.append,
    )
    assert told == [START_MS + 1_000, START_MS + 2_000, until]
    assert producer.messages == simulation.batch(START_MS, until)
