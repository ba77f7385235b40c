"""Bringing a Grafana to what the generated files say: data source, folder, dashboards, contact point, alert rules.

Whatever is there already and as it is wanted is left alone, so that pushing again changes nothing.
"""

import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal

from grafana_client import GrafanaApi
from grafana_client.client import GrafanaClientError, GrafanaException

from infra.grafana.connection import Login, connect, explained, found, message
from infra.grafana.difference import differences
from infra.grafana.errors import GrafanaError
from infra.grafana.files import alerting, dashboards
from infra.grafana.names import CONTACT_POINT, DATASOURCE_UID, FOLDER_TITLE, FOLDER_UID, PLUGIN, RULE_GROUP

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickHouse:
    """ClickHouse as Grafana reaches it. secure: TLS."""

    host: str
    port: int
    protocol: Literal["http", "native"]
    database: str
    username: str
    password: str = field(default="", repr=False)
    secure: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One thing in Grafana. differences: one line each; empty when it is as wanted."""

    what: str
    action: Literal["create", "update", "same"]
    differences: tuple[str, ...]
    apply: Callable[[], object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found out, in a line."""

    ok: bool
    text: str


class Grafana:
    """One Grafana.

    email: whom alert rules are told to; when empty, Grafana's own policies decide.
    password_again: Grafana never shows the password it has, so that a new one is sent only when told to.
    """

    def __init__(
        self, login: Login, clickhouse: ClickHouse, *, email: tuple[str, ...] = (), password_again: bool = False
    ) -> None:
        self._login, self._clickhouse, self._email = login, clickhouse, email
        self._password_again = password_again
        self._api: GrafanaApi = connect(login)

    def check(self) -> Iterator[Finding]:
        """Whether it answers, knows the token, has the plugin, reaches ClickHouse, has what is wanted; in that order.

        Raises GrafanaError when the rest cannot be found out.
        """
        yield Finding(True, f"Grafana {self._version()} at {self._login.url} knows the token")
        yield Finding(True, f"the plugin {PLUGIN} {self._plugin()} is installed")
        yield self._health()
        for step in self.plan():
            yield Finding(step.action == "same", f"{step.what}{_NEWS[step.action]}")

    def plan(self) -> list[Step]:
        """What would be done, in the order in which it must be. Raises GrafanaError."""
        self._version()
        self._plugin()
        with explained("reading what is there", self._login):
            return [
                self._datasource(),
                self._folder(),
                *(self._dashboard(board) for board in dashboards()),
                *([self._contact_point()] if self._email else []),
                self._rules(),
            ]

    def apply(self, step: Step) -> None:
        """Do it. Raises GrafanaError."""
        if step.action != "same":
            with explained(step.what, self._login):
                step.apply()

    def _version(self) -> str:
        with explained("asking for its health", self._login):
            health = self._api.health.check()
        if not isinstance(health, dict) or ("version" not in health and "database" not in health):
            raise GrafanaError(
                f"{self._login.url} answers like no Grafana: is it running, and is grafana.url its address?"
            )
        with explained("logging in", self._login):
            self._api.organization.get_current_organization()
        return str(health.get("version", "of unknown version"))

    def _plugin(self) -> str:
        with explained("listing its plugins", self._login):
            plugins = self._api.plugin.list()
        for plugin in plugins:
            if plugin.get("id") == PLUGIN:
                return str(plugin.get("info", {}).get("version", ""))
        raise GrafanaError(
            f"this Grafana has no plugin {PLUGIN}: install it (`grafana cli plugins install {PLUGIN}`, or "
            f"GF_PLUGINS_PREINSTALL={PLUGIN} in a container) and start Grafana again"
        )

    def _health(self) -> Finding:
        try:
            said = found(lambda: self._api.datasource.health(DATASOURCE_UID))
        except GrafanaClientError as error:
            if error.status_code in (401, 403):
                with explained("trying the data source", self._login):
                    raise
            return Finding(False, f"Grafana does not reach ClickHouse: {message(error)}")
        except GrafanaException as error:
            return Finding(False, f"Grafana does not reach ClickHouse: {message(error)}")
        if said is None:
            return Finding(False, "the data source is not there yet: `streamgauge grafana push` makes it")
        well = said.get("status") == "OK"
        return Finding(well, f"Grafana asks ClickHouse: {said.get('message', said.get('status'))}")

    def _datasource(self) -> Step:
        wanted = datasource(self._clickhouse)
        there = found(lambda: self._api.datasource.get_datasource_by_uid(DATASOURCE_UID))
        secret = {"secureJsonData": {"password": self._clickhouse.password}} if self._clickhouse.password else {}
        what = f"data source {wanted['name']}"
        if there is None:
            return Step(what, "create", (), lambda: self._api.datasource.create_datasource(wanted | secret))
        found_out = list(differences(wanted, there))
        if secret and not (there.get("secureJsonFields") or {}).get("password"):
            found_out.append("password: none, wanted one")
        elif secret and self._password_again:
            found_out.append("password: sent again")
        return _step(
            what, found_out, lambda: self._api.datasource.update_datasource_by_uid(DATASOURCE_UID, wanted | secret)
        )

    def _folder(self) -> Step:
        there = found(lambda: self._api.folder.get_folder(FOLDER_UID))
        what = f"folder {FOLDER_TITLE}"
        if there is None:
            return Step(what, "create", (), lambda: self._api.folder.create_folder(FOLDER_TITLE, uid=FOLDER_UID))
        return Step(what, "same", (), lambda: None)

    def _dashboard(self, wanted: Row) -> Step:
        there = found(lambda: self._api.dashboard.get_dashboard(wanted["uid"]))
        what = f"dashboard {wanted['title']}"

        def send() -> None:
            posted = {
                "dashboard": wanted | {"id": None},
                "folderUid": FOLDER_UID,
                "overwrite": True,
                "message": "streamgauge grafana push",
            }
            self._api.dashboard.update_dashboard(posted)

        if there is None:
            return Step(what, "create", (), send)
        found_out = list(differences(wanted, there["dashboard"]))
        folder = there.get("meta", {}).get("folderUid", FOLDER_UID)
        if folder != FOLDER_UID:
            found_out.append(f"folder: {folder!r}, wanted {FOLDER_UID!r}")
        return _step(what, found_out, send)

    def _contact_point(self) -> Step:
        (wanted,) = contact_points(self._email)
        there = [one for one in self._api.alertingprovisioning.get_contactpoints() if one.get("uid") == wanted["uid"]]
        what = f"contact point {CONTACT_POINT}"
        if not there:
            return Step(what, "create", (), lambda: self._api.alertingprovisioning.create_contactpoint(wanted, True))
        found_out = list(differences(wanted, there[0]))
        return _step(what, found_out, lambda: self._api.alertingprovisioning.update_contactpoint(wanted["uid"], wanted))

    def _rules(self) -> Step:
        wanted = rule_group(told=bool(self._email))
        there = found(lambda: self._api.alertingprovisioning.get_rule_group(FOLDER_UID, RULE_GROUP))
        what = f"{len(wanted['rules'])} alert rules"

        def send() -> None:
            self._api.alertingprovisioning.update_rule_group(FOLDER_UID, RULE_GROUP, wanted, True)

        if there is None or not there.get("rules"):
            return Step(what, "create", (), send)
        by_uid = {rule.get("uid"): rule for rule in there["rules"]}
        ordered = there | {"rules": [by_uid.get(rule["uid"], {}) for rule in wanted["rules"]]}
        found_out = list(differences(wanted, ordered))
        extra = by_uid.keys() - {rule["uid"] for rule in wanted["rules"]}
        found_out += [f"rules[{by_uid[uid].get('title')}]: not wanted here" for uid in sorted(extra, key=str)]
        return _step(what, found_out, send)


_NEWS = {"create": " is not there yet", "update": " is not as generated", "same": ""}


def _step(what: str, found_out: list[str], apply: Callable[[], object]) -> Step:
    return Step(what, "update" if found_out else "same", tuple(found_out), apply)


def datasource(clickhouse: ClickHouse) -> Row:
    """The data source as Grafana's API takes it, without the password."""
    return {
        "name": "streamgauge",
        "uid": DATASOURCE_UID,
        "type": PLUGIN,
        "access": "proxy",
        "isDefault": False,
        "jsonData": {
            "host": clickhouse.host,
            "port": clickhouse.port,
            "protocol": clickhouse.protocol,
            "secure": clickhouse.secure,
            "username": clickhouse.username,
            "defaultDatabase": clickhouse.database,
        },
    }


def contact_points(email: tuple[str, ...]) -> list[Row]:
    """The receivers of the contact point as the API takes them."""
    (point,) = alerting()["contactPoints"]
    made = []
    for receiver in deepcopy(point["receivers"]):
        receiver["settings"]["addresses"] = ";".join(email)
        made.append(receiver | {"name": point["name"], "disableResolveMessage": False})
    return made


def rule_group(*, told: bool) -> Row:
    """The group of alert rules as the API takes it. told: to our contact point."""
    (group,) = alerting()["groups"]
    rules = []
    for rule in deepcopy(group["rules"]):
        if not told:
            rule["notification_settings"] = None
        rules.append(rule | {"folderUID": FOLDER_UID, "ruleGroup": RULE_GROUP, "orgID": 1})
    minutes = re.fullmatch(r"(\d+)m", group["interval"])
    assert minutes is not None
    return {"title": RULE_GROUP, "folderUid": FOLDER_UID, "interval": 60 * int(minutes[1]), "rules": rules}
