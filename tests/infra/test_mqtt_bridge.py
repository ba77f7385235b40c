"""The bridge: nothing is acknowledged before it is delivered, what waits is bounded, all comes again until it is."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from infra.embedded.mqtt import EmbeddedMqtt
from infra.mqtt.bridge import Bridge
from infra.mqtt.place import Place
from infra.mqtt.template import TopicTemplate
from tests.infra.test_observe_metrics import growth
from tests.mqtt import MOSQUITTO, TEMPLATE, Mosquitto, any_broker, needs_mosquitto, publish

TOO_LARGE = b"too large"


class HandLog:
    """Takes messages, and delivers them when the test says so."""

    waits = False

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, bytes]] = []
        self._open: list[Callable[[], object]] = []
        self.at_each_turn: Callable[[], object] = lambda: None

    def send(self, key: bytes, value: bytes, on_delivered: Callable[[], object]) -> str:
        if value == TOO_LARGE:
            return "too large for the test"
        self.taken.append((key, value))
        self._open.append(on_delivered)
        return ""

    def serve(self, timeout_s: float) -> None:
        self.at_each_turn()

    def deliver(self, count: int | None = None, *, backwards: bool = False) -> None:
        for on_delivered in self._open[:count][:: -1 if backwards else 1]:
            on_delivered()
        del self._open[:count]

    @property
    def values(self) -> list[bytes]:
        return [value for _, value in self.taken]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto | EmbeddedMqtt]:
    with any_broker(tmp_path) as running:
        yield running


def bridged(url: str, log: HandLog, **given: Any) -> Bridge:
    protocol: Any = "auto" if MOSQUITTO else "3.1.1"
    defaults: dict[str, Any] = {"filters": ["#"], "receive_maximum": 100, "session_expiry_s": 3600}
    place = Place(url=url, client_id="bridge", protocol=protocol)
    return Bridge(place, log, template=TopicTemplate(TEMPLATE), **(defaults | given))


def run_until(bridge: Bridge, log: HandLog, condition: Callable[[], bool], *, most_turns: int = 300) -> int:
    """Run until it holds; what `run` returns."""
    stop, turns = Event(), itertools.count()

    def look() -> None:
        if condition():
            stop.set()
        assert next(turns) < most_turns, "it did not come to that"

    log.at_each_turn = look
    return bridge.run(stop, drain_s=0)


def readings(numbers: range) -> list[tuple[str, bytes]]:
    return [(f"s{n}", b'{"sensor_id":"s%d","value":%d}' % (n, n)) for n in numbers]


def connected(bridge: Bridge, log: HandLog) -> None:
    """Make the session known to the broker."""
    run_until(bridge, log, lambda: bridge.connected)


def test_what_is_not_delivered_comes_again_and_is_counted(broker: Mosquitto | EmbeddedMqtt) -> None:
    new, again = (growth("streamgauge_mqtt_messages_total", delivery=one) for one in ("new", "again"))
    acknowledged = growth("streamgauge_mqtt_acknowledged_total")
    log = HandLog()
    connected(bridged(broker.url, log), log)
    sent = readings(range(10))
    publish(broker.url, sent)  # to the session
    left = run_until(bridged(broker.url, log), log, lambda: len(log.taken) == 10)
    assert (left, new() + again(), acknowledged()) == (10, 10, 0)
    later, seen_again = HandLog(), again()

    def deliver_seven() -> bool:
        if len(later.taken) == 10 and not acknowledged():
            later.deliver(7)
        return acknowledged() == 7

    assert run_until(bridged(broker.url, later), later, deliver_seven) == 3
    assert sorted(later.values) == sorted(payload for _, payload in sent)
    assert again() - seen_again == 10
    last = HandLog()

    def deliver_all() -> bool:
        last.deliver()
        return acknowledged() == 10

    assert run_until(bridged(broker.url, last), last, deliver_all) == 0
    assert len(last.taken) == 3


def test_acknowledged_in_the_order_of_arrival(broker: Mosquitto | EmbeddedMqtt) -> None:
    acknowledged = growth("streamgauge_mqtt_acknowledged_total")
    log = HandLog()
    bridge = bridged(broker.url, log)
    connected(bridge, log)
    publish(broker.url, readings(range(5)))
    bridge = bridged(broker.url, log)
    turns: list[float] = []

    def step() -> bool:
        if len(log.taken) == 5:
            if not turns:  # the last four, last first
                reports = log._open
                log._open = [*reports[1:], reports[0]]
                log.deliver(4, backwards=True)
            turns.append(acknowledged())
        return len(turns) > 3

    assert run_until(bridge, log, step) == 5
    assert set(turns) == {0.0}, "the first is not delivered, so none is acknowledged"


@needs_mosquitto
def test_no_more_are_on_their_way_than_wanted(broker: Mosquitto) -> None:
    log = HandLog()
    connected(bridged(broker.url, log), log)
    publish(broker.url, readings(range(50)))
    turns = itertools.count()
    bridge = bridged(broker.url, log, receive_maximum=7)
    assert run_until(bridge, log, lambda: len(log.taken) >= 7 and next(turns) > 20) == 7
    assert len(log.taken) == 7


def test_a_broker_that_knows_no_such_bound_is_not_read_on(tmp_path: Path) -> None:
    log = HandLog()
    with EmbeddedMqtt(log=tmp_path / "mqtt.log") as broker:

        def made() -> Bridge:
            place = Place(url=broker.url, client_id="bridge", protocol="3.1.1")
            template = TopicTemplate(TEMPLATE)
            return Bridge(place, log, template=template, filters=["#"], receive_maximum=5, session_expiry_s=60)

        connected(made(), log)
        publish(broker.url, readings(range(2_000)))
        turns = itertools.count()
        run_until(made(), log, lambda: len(log.taken) >= 10 and next(turns) > 20)
    assert len(log.taken) < 1_000, "a piece of what has been read, and no more"


def test_what_the_log_never_takes_is_dropped_counted_and_told(
    broker: Mosquitto | EmbeddedMqtt, caplog: pytest.LogCaptureFixture
) -> None:
    unfit, acknowledged = (
        growth("streamgauge_mqtt_unfit_total", reason="too_large"),
        growth("streamgauge_mqtt_acknowledged_total"),
    )
    log = HandLog()
    connected(bridged(broker.url, log), log)
    publish(broker.url, [("a", TOO_LARGE)])
    assert run_until(bridged(broker.url, log), log, lambda: acknowledged() == 1) == 0
    assert unfit() == 1
    assert "a message on sensors/a/data: is too large; it is dropped: too large for the test" in caplog.text


def test_a_message_of_several_readings_is_acknowledged_with_the_last(broker: Mosquitto | EmbeddedMqtt) -> None:
    acknowledged = growth("streamgauge_mqtt_acknowledged_total")
    log = HandLog()
    connected(bridged(broker.url, log), log)
    publish(broker.url, [("a", b'[{"value":1},{"sensor_id":"b","value":2}]')])
    seen: list[float] = []

    def one_by_one() -> bool:
        if len(log.taken) == 2:
            seen.append(acknowledged())
            log.deliver(1)
        return len(seen) == 3

    assert run_until(bridged(broker.url, log), log, one_by_one) == 0
    assert seen == [0, 0, 1]
    assert [key for key, _ in log.taken] == [b"a", b"b"]


def test_told_to_stop_it_delivers_what_is_on_its_way(broker: Mosquitto | EmbeddedMqtt) -> None:
    log, stop = HandLog(), Event()
    bridge = bridged(broker.url, log)
    connected(bridge, log)
    publish(broker.url, readings(range(10)))

    def step() -> None:
        if stop.is_set():
            log.deliver(1)
        if len(log.taken) == 10:
            stop.set()

    log.at_each_turn = step
    assert bridged(broker.url, log).run(stop, drain_s=20) == 0
    nothing = HandLog()
    turns = itertools.count()
    again = bridged(broker.url, nothing)
    run_until(again, nothing, lambda: again.connected and next(turns) > 5)
    assert nothing.taken == [], "all was acknowledged"


@needs_mosquitto
def test_several_bridges_share_the_messages(broker: Mosquitto) -> None:
    stop, logs = Event(), [HandLog(), HandLog()]
    filters = ["$share/plant/sensors/#"]
    bridges = [
        Bridge(
            Place(url=broker.url, client_id=f"bridge-{number}"),
            log,
            template=TopicTemplate(TEMPLATE),
            filters=filters,
            receive_maximum=10,
            session_expiry_s=60,
        )
        for number, log in enumerate(logs)
    ]
    for bridge, log in zip(bridges, logs, strict=True):
        connected(bridge, log)
    publish(broker.url, readings(range(100)))
    for bridge, log in zip(bridges, logs, strict=True):

        def step(log: HandLog = log) -> bool:
            log.deliver()
            return len(log.taken) >= 50

        assert run_until(bridge, log, step) == 0
    assert not stop.is_set()
    values = [value for log in logs for value in log.values]
    assert sorted(values) == sorted(payload for _, payload in readings(range(100)))
