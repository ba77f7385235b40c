"""What `streamgauge console` can be told: a section of `flows.settings.Settings`."""

from typing import Annotated, Literal

import msgspec

from flows.settings_types import Count, Duration, Secret, Section


class Console(Section, frozen=True):
    """The live pages over what is stored.

    listen: "host:port".
    questions: so many are put to ClickHouse at a time; more wait.
    max_connections: more are answered 503.
    workers: "host:port" of the /metrics of workers, for the page Health; that of [observe] listen when empty.
    login: off loopback people log in, and behind a proxy; or always.
    users: SQLite file of who may log in, and of what they did; console.sqlite in data_dir when empty.
    session_idle: without any request a session ends; session_longest: since login, in any case.
    cert_file, key_file, key_password: HTTPS, as PEM files.
    proxies: addresses or networks of proxies before the console; what those alone say of a client is believed.
    """

    listen: str = "127.0.0.1:8088"
    questions: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    max_connections: Count = 200
    workers: tuple[str, ...] = ()
    login: Literal["off loopback", "always"] = "off loopback"
    users: str = ""
    session_idle: Duration = Duration(1_800_000)
    session_longest: Duration = Duration(43_200_000)
    cert_file: str = ""
    key_file: str = ""
    key_password: Secret = Secret("")
    proxies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("session_idle", "session_longest"):
            if getattr(self, name).ms < 60_000:
                raise ValueError(f"{name} = {getattr(self, name)}: a minute at least")
