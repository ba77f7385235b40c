"""A schema registry for tests: the part of Confluent's REST API that clients use, over real HTTP; in memory.

As in the real one an id belongs to a schema, whichever subjects have it; Protobuf comes as a descriptor only when asked
for with format=serialized, else as text.
"""

import json
import ssl
import threading
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from operators.framed import SchemaText

_PROTO_TEXT = 'syntax = "proto3"; // the source, of which clients without a compiler can make nothing'


@dataclass
class FakeRegistry:
    """login: "user:password" that it wants. tls: certificate and key. status: answers everything so, 0: as it should.

    paths: what was asked.
    """

    login: str = ""
    tls: tuple[Path, Path] | None = None
    status: int = 0
    port: int = 0
    schemas: dict[int, dict[str, Any]] = field(default_factory=dict)
    subjects: dict[str, list[int]] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)

    def add(self, schema: SchemaText, subject: str = "sensors-value", references: Sequence[dict[str, Any]] = ()) -> int:
        """Register; the number it has."""
        body = {"schema": schema.text, "schemaType": schema.kind, "references": list(references)}
        return int(self.register(subject, body)["id"])

    def register(self, subject: str, body: dict[str, Any]) -> dict[str, Any]:
        schema = {"schema": body["schema"], "schemaType": body.get("schemaType", "AVRO")}
        schema["references"] = body.get("references") or []
        number = next((n for n, one in self.schemas.items() if one == schema), len(self.schemas) + 1)
        self.schemas[number] = schema
        versions = self.subjects.setdefault(subject, [])
        if number not in versions:
            versions.append(number)
        return {"id": number, "version": versions.index(number) + 1, "subject": subject} | schema

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def __enter__(self) -> "FakeRegistry":
        registry = self

        class Handler(_Handler):
            served = registry

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        place = urlsplit(path)
        self.paths.append(path)
        if self.status:
            return self.status, {"error_code": self.status * 100, "message": "as told"}
        match [unquote(one) for one in place.path.strip("/").split("/")]:
            case ["schemas", "ids", number]:
                return self._schema(int(number), parse_qs(place.query).get("format", [""])[0])
            case ["subjects"]:
                return 200, sorted(self.subjects)
            case ["subjects", subject, "versions"] if method == "POST":
                return 200, self.register(subject, body)
            case ["subjects", subject, "versions", version]:
                return self._version(subject, version, parse_qs(place.query).get("format", [""])[0])
            case ["subjects", subject] if method == "POST":
                return 200, self.register(subject, body)
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    def _schema(self, number: int, form: str) -> tuple[int, Any]:
        if number not in self.schemas:
            return 404, {"error_code": 40403, "message": f"Schema {number} not found"}
        schema = dict(self.schemas[number])
        if schema["schemaType"] == "PROTOBUF" and form != "serialized":
            b64decode(schema["schema"], validate=True)
            schema["schema"] = _PROTO_TEXT
        elif form and schema["schemaType"] != "PROTOBUF":
            return 500, {"error_code": 500, "message": f"Unsupported format {form}"}
        return 200, schema

    def _version(self, subject: str, version: str, form: str) -> tuple[int, Any]:
        versions = self.subjects.get(subject, [])
        if not versions:
            return 404, {"error_code": 40401, "message": f"Subject '{subject}' not found."}
        at = len(versions) if version == "latest" else int(version)
        if not 1 <= at <= len(versions):
            return 404, {"error_code": 40402, "message": f"Version {version} not found."}
        number = versions[at - 1]
        status, schema = self._schema(number, form)
        return status, {"subject": subject, "version": at, "id": number} | schema


class _Handler(BaseHTTPRequestHandler):
    served: FakeRegistry
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        status, said = 401, {"error_code": 40101, "message": "Unauthorized"}
        given = self.headers.get("Authorization", "").removeprefix("Basic ")
        if not self.served.login or b64decode(given).decode() == self.served.login:
            status, said = self.served.answer(self.command, self.path, body)
        sent = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_: object) -> None:
        """Nothing."""
