"""/docs: the OpenAPI description as a page for people; nothing is fetched from elsewhere."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24 }
h2 { margin-top: 2.5rem; font-size: 1.15rem }
h2 b { background: #0b6; color: #fff; border-radius: 4px; padding: 0 .5em }
h2 b.post { background: #06c } code, pre { font: 14px/1.45 ui-monospace, monospace; background: #f3f4f6 }
pre { padding: .8rem; overflow-x: auto; border-radius: 6px } table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #e5e7eb }
@media (prefers-color-scheme: dark) { body { background: #14171a; color: #e6e8ea } code, pre { background: #23272c }
td, th { border-color: #343a40 } a { color: #7ab7ff } }
"""


def page(openapi: Mapping[str, Any]) -> str:
    """The description as HTML."""
    return "".join(_parts(openapi))


def _parts(openapi: Mapping[str, Any]) -> Iterator[str]:
    title = escape(openapi["info"]["title"])
    yield "<!doctype html><html lang=en><head><meta charset=utf-8>"
    yield "<meta name=viewport content='width=device-width, initial-scale=1'>"
    yield f"<title>{title}</title><style>{_STYLE}</style></head><body>"
    yield f"<h1>{title} {escape(openapi['info']['version'])}</h1>{_text(openapi['info'].get('description', ''))}"
    yield "<p>For programs: <a href=openapi.json>openapi.json</a></p>"
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            yield from _operation(path, method, operation)
    yield "</body></html>"


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h2><b class={escape(method)}>{escape(method.upper())}</b> <code>{escape(path)}</code></h2>"
    yield f"<p>{escape(operation.get('summary', ''))}</p>{_text(operation.get('description', ''))}"
    if parameters := operation.get("parameters"):
        rows = [(one["name"], one.get("description", ""), _kind(one["schema"])) for one in parameters]
        yield _table(("parameter", "", "values"), rows)
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<p>Body, <code>{escape(kind)}</code>:</p>"
        if "example" in content:
            yield f"<pre>{escape(content['example'])}</pre>"
    rows = [(status, answer["description"], "") for status, answer in operation["responses"].items()]
    yield _table(("answer", "", ""), rows)


def _text(text: str) -> str:
    """Paragraphs; indented ones are code."""
    parts = [f"<pre>{escape(one)}</pre>" if one.startswith("    ") else f"<p>{escape(one)}</p>" for one in _split(text)]
    return "".join(parts)


def _split(text: str) -> list[str]:
    return [one.strip("\n") for one in text.split("\n\n") if one.strip()]


def _kind(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(kind for one in schema["anyOf"] if (kind := _kind(one)) != "null")
    if "enum" in schema:
        return ", ".join(schema["enum"])
    if schema.get("type") == "integer":
        return f"{schema.get('minimum', '')} to {schema.get('maximum', '')}, {schema.get('default', '')} when left out"
    return {"string": "text", "array": "texts"}.get(schema.get("type", ""), str(schema.get("type", "")))


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    cells = "".join(
        f"<tr><td><code>{escape(row[0])}</code></td>{''.join(f'<td>{escape(cell)}</td>' for cell in row[1:])}</tr>"
        for row in rows
    )
    return f"<table><tr>{''.join(f'<th>{escape(one)}</th>' for one in head)}</tr>{cells}</table>"
