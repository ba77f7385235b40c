"""The console, put together: its settings checked, ClickHouse behind it, who may see it."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from flows.console_access import access_rules, tls, users_file
from flows.settings import Console, Settings, SettingsError
from infra.clickhouse.client import Address, Client, connect
from infra.console.access.guard import guarded
from infra.console.app import build
from infra.console.knowledge import Explanation, Knowledge
from infra.console.reader import Reader
from infra.console.server import ConsoleServer
from infra.console.stream import Hub
from infra.console.workers import Workers
from infra.http.server import BACKLOG, CannotServe, bind
from infra.observe.health import parse_address
from infra.simulate.runner import wall_clock_ms


@dataclass(frozen=True, slots=True)
class Serving:
    """Bound, but not serving yet. url: where it will be."""

    server: ConsoleServer
    listener: socket.socket
    url: str

    def run(self) -> None:
        """Serve until told to stop."""
        self.server.run(self.listener)


@contextmanager
def console(settings: Settings, address: Address) -> Iterator[Serving]:
    """Everything there has to be before it serves. address: of ClickHouse. Raises SettingsError, ClickHouseError."""
    given = settings.console
    host, port = _place(given)
    rules, context = access_rules(settings, host), tls(given)
    with ExitStack() as stack:
        listener = stack.enter_context(_bound(given, host, port))
        with connect(address) as client:
            _check_tables(client.command("EXISTS TABLE readings_final"), address)
        reader = Reader(address, at_a_time=given.questions)
        stack.callback(reader.close)
        workers = stack.enter_context(Workers(_workers(settings), wall_clock_ms))
        hub = Hub(reader, wall_clock_ms)
        app = build(reader, hub, clock=wall_clock_ms, known=replace(knowledge(settings), workers=workers))
        gate = stack.enter_context(guarded(app, users_file(settings), rules, clock_ms=wall_clock_ms))
        server = ConsoleServer(gate, connections=given.max_connections, end_streams=hub.end, tls=context)
        listener.listen(BACKLOG)
        name = f"[{host}]" if ":" in host else host
        scheme = "http" if context is None else "https"
        yield Serving(server, listener, f"{scheme}://{name}:{listener.getsockname()[1]}")


def _workers(settings: Settings) -> tuple[str, ...]:
    """Where workers tell of themselves. Raises SettingsError."""
    found = settings.console.workers or tuple(filter(None, (settings.observe.listen,)))
    for address in found:
        try:
            parse_address(address)
        except ValueError as error:
            raise SettingsError(f"console.workers: {error}") from None
    return found


def knowledge(settings: Settings) -> Knowledge:
    """What the pages are told of the configuration."""

    def explain(client: Client, sensor_id: str, time_ms: int) -> Explanation:
        from flows.explain_reading import explain_from  # brings the compiled kernels, which pages can do without

        return explain_from(client, settings, sensor_id=sensor_id, time_ms=time_ms)

    return Knowledge(
        roles={one.name: one.role for one in settings.detectors},
        thresholds={one.name: one.threshold for one in settings.detectors if one.threshold is not None},
        explain=explain,
    )


def _check_tables(there: object, address: Address) -> None:
    if not there:
        raise SettingsError(
            f"ClickHouse at {address} has no tables in the database {address.database!r}: run `streamgauge db init`, "
            "or `streamgauge demo` for simulated sensors"
        )


def _place(given: Console) -> tuple[str, int]:
    try:
        return parse_address(given.listen)
    except ValueError as error:
        raise SettingsError(f"console.listen: {error}") from None


@contextmanager
def _bound(given: Console, host: str, port: int) -> Iterator[socket.socket]:
    try:
        listener = bind(host, port)
    except CannotServe as error:
        raise SettingsError(
            f"console.listen = '{given.listen}': {error}; name another address, or port 0 for a free one"
        ) from None
    with listener:
        yield listener
