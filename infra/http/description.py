"""What the OpenAPI description says of POST /readings, which FastAPI does not serve, and of keys."""

from typing import Any

_READING = '{"sensor_id": "pump-7", "value": 21.5, "timestamp": "2026-01-31T12:00:00Z", "location": "hall-2"}'
_ANSWER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "accepted": {"type": "integer"},
        "rejected": {"type": "integer"},
        "delivered": {"type": "boolean", "description": "Kafka has confirmed them"},
        "errors": {
            "type": "array",
            "description": "the first hundred; errors_left_out counts the rest",
            "items": {
                "type": "object",
                "properties": {
                    "row": {"type": "integer", "description": "position in the body, from 0"},
                    "reason": {"type": "string", "description": "short name, as in the table dead_letters"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}
_ERROR: dict[str, Any] = {"type": "object", "properties": {"error": {"type": "string"}}}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


POST_READINGS: dict[str, Any] = {
    "tags": ["readings"],
    "summary": "Send readings: one, an array, or one a line; gzip is welcome (Content-Encoding: gzip)",
    "description": (
        "sensor_id, value and timestamp (epoch milliseconds, or RFC 3339 with an offset) are required; sensor_type, "
        "location, unit, asset_id, seq, attributes and label are optional. Good readings are taken, bad ones are told "
        "row by row. Sending the same readings again does no harm: repeats are dropped by the flow."
    ),
    "parameters": [
        {
            "name": "ack",
            "in": "query",
            "description": "queued: answer when they are taken in; all: when Kafka has confirmed them",
            "schema": {"type": "string", "enum": ["queued", "all"], "default": "queued"},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"example": _READING},
            "application/x-ndjson": {"example": f"{_READING}\n{_READING.replace('pump-7', 'pump-8')}"},
            "application/vnd.apache.arrow.stream": {},
        },
    },
    "responses": {
        "202": _json("Taken in, all or some; see `errors`.", _ANSWER),
        "400": _json("Nothing readable in the body.", _ANSWER),
        "401": _json("No key, or none that is known.", _ERROR),
        "403": _json("A key without the role `write`.", _ERROR),
        "408": _json("The body did not arrive in time.", _ERROR),
        "413": _json("The body is too large, packed or unpacked.", _ERROR),
        "415": _json("Another Content-Type or Content-Encoding than those above.", _ERROR),
        "422": _json("Not one good reading in the body.", _ANSWER),
        "429": _json("Too much at a time, or more than the key's rate; Retry-After says when again.", _ERROR),
        "503": _json("Kafka is away; Retry-After says when again.", _ERROR),
    },
}

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: _json("A cursor that no page has given.", _ERROR),
    401: _json("No key, or none that is known.", _ERROR),
    403: _json("A key without the role `read`.", _ERROR),
    406: _json("A format that there is not.", _ERROR),
    422: _json("A parameter that is wrong, or that these rows cannot be asked by.", _ERROR),
    429: _json("As many pages are made as may, or more than the key's rate; Retry-After says when again.", _ERROR),
    503: _json("ClickHouse is away; Retry-After says when again.", _ERROR),
}
"""Of exports."""

KEYS: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}

ABOUT = """Sensor readings in, and what became of them out. Where keys are configured a request carries one, as
`Authorization: Bearer KEY` or `X-API-Key: KEY`; `streamgauge ingest key NAME` makes them.

    curl -H 'Content-Type: application/json' -H 'X-API-Key: KEY' --data '{"sensor_id": "pump-7", "value": 21.5, \
"timestamp": 1769860800000}' URL/readings
    curl -H 'X-API-Key: KEY' 'URL/api/readings?sensor=pump-7&from=2026-01-31T00:00:00Z&format=csv'

Exports come in pages: a header `Link` names the following one (in JSON also `next`), until there is none."""
