"""The file of a report: the console's own modules, its style, its charts and the data, in one HTML page.

Modules lie in an import map as data URLs, under names of their own: from a file a browser loads no other file as one.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

_STATIC = Path(__file__).parent / "static"
_SHELL, _ASKING = "report.js", "report_api.js"
_REFERENCE = re.compile(r"""(["'`])/static/""")

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="content-security-policy" content="default-src 'none'; script-src 'unsafe-inline' data:; \
style-src 'unsafe-inline'; img-src data: blob:; form-action 'none'; base-uri 'none'">
<title>streamgauge report</title>
<link rel="icon" href="{icon}">
<style>{style}</style>
<script>{theme}</script>
<script type="importmap">{modules}</script>
</head>
<body class="report">
<a class="skip" href="#main">Skip to content</a>
<header class="top">
<span class="brand"><img src="{icon}" alt="" width="22" height="22"> streamgauge report</span>
<nav id="nav" aria-label="Pages"></nav>
<div class="top-end">
<button id="theme" class="quiet" type="button" aria-label="Switch between light and dark">◐</button>
</div>
</header>
<main id="main" tabindex="-1">
<noscript><p class="empty">The report draws its charts with JavaScript, which is switched off here.</p></noscript>
</main>
<div id="toast" class="toast" role="status" aria-live="polite"></div>
<script type="application/json" id="told">{told}</script>
<script type="module">import "sg/{shell}";</script>
</body>
</html>
"""


def page(told: Mapping[str, Any]) -> str:
    """HTML. told: what report_api.js reads."""
    data = msgspec.json.encode(told).decode().replace("<", "\\u003c")
    filled = {
        "icon": _data_url("image/svg+xml", _read("icon.svg")),
        "style": _read("style.css") + _read("report.css"),
        "theme": _read("theme.js"),
        "modules": msgspec.json.encode({"imports": _modules()}).decode(),
        "told": data,
        "shell": _SHELL,
    }
    return re.sub(r"\{(icon|style|theme|modules|told|shell)\}", lambda found: filled[found[1]], _PAGE)


def _modules() -> dict[str, str]:
    """What the shell imports, and what that imports, under the names they are imported by."""
    found: dict[str, str] = {}
    wanted = [_SHELL, *(f"pages/{one.name}" for one in sorted((_STATIC / "pages").glob("*.js")))]
    while wanted:
        name = wanted.pop()
        if f"sg/{name}" in found:
            continue
        text = _read(_ASKING if name == "api.js" else name)
        wanted += re.findall(r"""(?:from|import)\s*\(?["']/static/([\w./-]+)["']""", text)
        found[f"sg/{name}"] = _data_url("text/javascript", _REFERENCE.sub(r"\1sg/", text))
    return found


def _read(name: str) -> str:
    return (_STATIC / name).read_text(encoding="utf-8")


def _data_url(kind: str, text: str) -> str:
    return f"data:{kind};base64,{b64encode(text.encode()).decode()}"
