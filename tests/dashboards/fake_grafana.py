"""A stand-in for Grafana's HTTP API: what `push`, `diff` and `check` use of it, as Grafana answers.

Modelled on the API of Grafana 11 and 12: statuses and bodies of errors; ids, versions and defaults that it adds;
passwords that are never given back; names that must be unique; folders that must exist.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from infra.grafana.names import PLUGIN

Body = Any
Answer = tuple[int, Body]

ADMIN, VIEWER = "glsa_admin", "glsa_viewer"


@dataclass
class State:
    """What this Grafana holds. changes: requests that changed it. prefix: the path it is served under."""

    plugins: list[str] = field(default_factory=lambda: [PLUGIN])
    prefix: str = ""
    datasources: dict[str, Body] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    folders: dict[str, Body] = field(default_factory=dict)
    dashboards: dict[str, tuple[Body, str]] = field(default_factory=dict)
    contact_points: dict[str, Body] = field(default_factory=dict)
    groups: dict[tuple[str, str], Body] = field(default_factory=dict)
    reaches_clickhouse: bool = True
    fails: bool = False
    changes: list[str] = field(default_factory=list)

    def answer(self, method: str, path: str, token: str, body: Body) -> Answer:
        """Status and JSON for a request below /api."""
        if path == "/health":
            return 200, {"commit": "abc", "database": "ok", "version": "12.1.0"}
        if token not in (ADMIN, VIEWER):
            return 401, {"extra": None, "message": "Invalid API key", "messageId": "api-key.invalid", "statusCode": 401}
        if self.fails:
            return 500, {"message": "Internal server error"}
        if method != "GET" and token == VIEWER:
            return 403, {
                "accessErrorId": "ACE01",
                "message": "You'll need additional permissions to perform this action.",
            }
        status, answer = self._route(method, path, body)
        if method != "GET" and status < 300:
            self.changes.append(f"{method} {path}")
        return status, answer

    def _route(self, method: str, path: str, body: Body) -> Answer:
        parts = path.partition("?")[0].strip("/").split("/")
        table: dict[tuple[str, ...], Callable[..., Answer]] = {
            ("GET", "org"): lambda: (200, {"id": 1, "name": "Main Org."}),
            ("GET", "plugins"): lambda: (200, [{"id": one, "info": {"version": "4.11.0"}} for one in self.plugins]),
            ("GET", "datasources", "uid", "*"): self._get_datasource,
            ("POST", "datasources"): lambda: self._save_datasource(None, body),
            ("PUT", "datasources", "uid", "*"): lambda uid: self._save_datasource(uid, body),
            ("GET", "datasources", "uid", "*", "health"): self._health,
            ("GET", "folders", "*"): lambda uid: _or_missing(self.folders.get(uid), "folder not found"),
            ("POST", "folders"): lambda: self._create_folder(body),
            ("GET", "dashboards", "uid", "*"): self._get_dashboard,
            ("POST", "dashboards", "db"): lambda: self._save_dashboard(body),
            ("GET", "v1", "provisioning", "contact-points"): lambda: (200, list(self.contact_points.values())),
            ("POST", "v1", "provisioning", "contact-points"): lambda: self._save_contact_point(body["uid"], body),
            ("PUT", "v1", "provisioning", "contact-points", "*"): lambda uid: self._save_contact_point(uid, body),
            ("GET", "v1", "provisioning", "folder", "*", "rule-groups", "*"): self._get_group,
            ("PUT", "v1", "provisioning", "folder", "*", "rule-groups", "*"): lambda folder, name: self._save_group(
                folder, name, body
            ),
        }
        for (verb, *pattern), reply in table.items():
            if verb == method and len(pattern) == len(parts):
                pairs = list(zip(pattern, parts, strict=True))
                if all(one in ("*", part) for one, part in pairs):
                    return reply(*(part for one, part in pairs if one == "*"))
        return 404, {"message": "Not found"}

    def _get_datasource(self, uid: str) -> Answer:
        return _or_missing(self.datasources.get(uid), "Data source not found")

    def _save_datasource(self, uid: str | None, body: Body) -> Answer:
        if uid is None and any(one["name"] == body["name"] for one in self.datasources.values()):
            return 409, {"message": "data source with the same name already exists"}
        secret = body.pop("secureJsonData", {})
        self.passwords |= secret
        old = self.datasources.get(uid or "", {})
        kept = old.get("secureJsonFields", {}) | dict.fromkeys(secret, True)
        added = {"id": len(self.datasources) + 1, "orgId": 1, "version": old.get("version", 0) + 1, "readOnly": False}
        saved = {"url": "", "basicAuth": False, "withCredentials": False} | body | added | {"secureJsonFields": kept}
        self.datasources[body["uid"]] = saved
        return 200, {"datasource": saved, "id": saved["id"], "message": "Datasource saved", "name": saved["name"]}

    def _health(self, uid: str) -> Answer:
        if uid not in self.datasources:
            return 404, {"message": "Data source not found"}
        if not self.reaches_clickhouse:
            return 400, {"message": "dial tcp 10.0.0.1:8123: connect: connection refused", "status": "ERROR"}
        return 200, {"message": "Data source is working", "status": "OK"}

    def _create_folder(self, body: Body) -> Answer:
        if any(one["title"] == body["title"] for one in self.folders.values()):
            return 409, {"message": "a folder with the same name already exists in the current location"}
        self.folders[body["uid"]] = {"id": 7, "uid": body["uid"], "title": body["title"], "version": 1}
        return 200, self.folders[body["uid"]]

    def _get_dashboard(self, uid: str) -> Answer:
        if uid not in self.dashboards:
            return 404, {"message": "Dashboard not found"}
        saved, folder = self.dashboards[uid]
        return 200, {"dashboard": saved, "meta": {"folderUid": folder, "version": saved["version"], "canSave": True}}

    def _save_dashboard(self, body: Body) -> Answer:
        saved, folder = body["dashboard"], body.get("folderUid", "")
        if folder and folder not in self.folders:
            return 400, {"message": "folder not found"}
        if not saved.get("title"):
            return 400, {"message": "Dashboard title cannot be empty"}
        old = self.dashboards.get(saved["uid"])
        if old is not None and not body.get("overwrite"):
            return 412, {"message": "The dashboard has been changed by someone else", "status": "version-mismatch"}
        version = 1 if old is None else old[0]["version"] + 1
        self.dashboards[saved["uid"]] = (saved | {"id": 100 + len(self.dashboards), "version": version}, folder)
        return 200, {"uid": saved["uid"], "status": "success", "version": version}

    def _save_contact_point(self, uid: str, body: Body) -> Answer:
        if not body["settings"].get("addresses"):
            return 400, {"message": "invalid object specification: could not find addresses in settings"}
        self.contact_points[uid] = body | {"uid": uid, "provenance": ""}
        return 202, self.contact_points[uid]

    def _get_group(self, folder: str, name: str) -> Answer:
        # Grafana answers 404 for a group without rules.
        return _or_missing(self.groups.get((folder, name)), "rule group not found")

    def _save_group(self, folder: str, name: str, body: Body) -> Answer:
        if folder not in self.folders:
            return 400, {"message": "folder not found"}
        points = {one["name"] for one in self.contact_points.values()}
        for rule in body["rules"]:
            told = (rule.get("notification_settings") or {}).get("receiver")
            if told is not None and told not in points:
                return 400, {"message": f"invalid alert rule: receiver {told} does not exist"}
            missing = {"title", "condition", "data", "for", "noDataState", "execErrState", "ruleGroup"} - rule.keys()
            if missing:
                return 400, {"message": f"invalid alert rule: {sorted(missing)} missing"}
        rules = [_saved_rule(rule, at) for at, rule in enumerate(body["rules"])]
        self.groups[folder, name] = {"title": name, "folderUid": folder, "interval": body["interval"], "rules": rules}
        return 200, self.groups[folder, name]


def _saved_rule(rule: Body, at: int) -> Body:
    """A rule as it is given back: with an id, defaults of its queries, without what is null."""
    data = [one | {"model": {"intervalMs": 1000, "maxDataPoints": 43200} | one["model"]} for one in rule["data"]]
    kept = {name: value for name, value in rule.items() if value is not None}
    return kept | {"id": at + 1, "data": data, "updated": "2026-01-01T00:00:00Z", "orgID": 1}


def _or_missing(what: Body | None, said: str) -> Answer:
    return (404, {"message": said}) if what is None else (200, what)


@contextmanager
def serving(state: State) -> Iterator[str]:
    """The address of this Grafana while it runs."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or "null")
            api = f"{state.prefix}/api"
            if self.path.startswith(api):
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                status, answer = state.answer(self.command, self.path.removeprefix(api), token, body)
                kind, text = "application/json; charset=UTF-8", json.dumps(answer)
            else:
                status, kind, text = 200, "text/html; charset=utf-8", "<html>some other page</html>"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PUT = do_DELETE = _answer

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}{state.prefix}"
        server.shutdown()
        thread.join()
