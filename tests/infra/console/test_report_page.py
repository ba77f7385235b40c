"""The file of a report holds all it needs, and nothing that could break out of it."""

import json
import re
from base64 import b64decode
from typing import Any

from infra.console.report_page import page

_MOST_BYTES = 2_500_000


def parts(text: str) -> tuple[dict[str, str], dict[str, Any]]:
    """The modules by name, and the data."""
    modules = re.search(r'<script type="importmap">(.*?)</script>', text)
    told = re.search(r'<script type="application/json" id="told">(.*?)</script>', text, re.DOTALL)
    assert modules
    assert told
    urls: dict[str, str] = json.loads(modules[1])["imports"]
    return {name: b64decode(url.partition(",")[2]).decode() for name, url in urls.items()}, json.loads(told[1])


def test_every_module_that_is_imported_is_in_it() -> None:
    modules, _ = parts(page({"answers": []}))
    assert {"sg/report.js", "sg/pages/live.js", "sg/pages/health.js", "sg/vendor/echarts.esm.min.js"} <= modules.keys()
    assert not {"sg/app.js", "sg/login.js"} & modules.keys()
    for name, text in modules.items():
        assert not re.search(r"""[\"'`]/static/""", text), name
        for wanted in re.findall(r"""(?:from|import)\s*\(?["'](sg/[^"']+)["']""", text):
            assert wanted in modules, f"{name} imports {wanted}"
    assert "fetch(" not in "".join(text for name, text in modules.items() if "vendor" not in name)


def test_it_asks_nobody_for_anything() -> None:
    text = page({"answers": []})
    assert "default-src 'none'" in text
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)[^"']*""", text)
    assert len(text.encode()) < _MOST_BYTES, "without data"


def test_data_cannot_end_the_script_it_is_in() -> None:
    told = {"answers": [], "sensors": ["</script><script>alert(1)</script>", "{icon}", "\u2028<!--"]}
    text = page(told)
    assert parts(text)[1] == told
    assert text.count("</script>") == page({"answers": []}).count("</script>")
