"""What `streamgauge grafana` can be told: a section of `flows.settings.Settings`."""

from typing import Annotated, Literal

import msgspec

from flows.settings_types import Secret, Section


class Grafana(Section, frozen=True):
    """Where dashboards and alert rules are sent, and how Grafana itself reaches ClickHouse.

    url: of Grafana, with the path it is served under. token: of a service account with the role Admin, or Editor when
        the data source is there already; given in the environment, or in a file of its own by token_file.
    clickhouse_host, clickhouse_port: ClickHouse as Grafana sees it; those of [clickhouse] when empty, 0.
    clickhouse_protocol: what is spoken at that port.
    clickhouse_username: who may only read, see infra/clickhouse/server/users.sql; that of [clickhouse] when empty.
    clickhouse_password: given in the environment; that of [clickhouse] when empty and the user is the same.
    email: whom the alert rules are told to; nobody when empty: Grafana's own policies decide.
    """

    url: str = "http://127.0.0.1:3000"
    token: Secret = Secret("")
    token_file: str = ""
    clickhouse_host: str = ""
    clickhouse_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    clickhouse_protocol: Literal["http", "native"] = "http"
    clickhouse_username: str = ""
    clickhouse_password: Secret = Secret("")
    email: tuple[str, ...] = ()
