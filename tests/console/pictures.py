"""The README's pictures of the console, taken of a demo: `make pictures`."""

import tempfile
from itertools import chain
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page

from tests.console.site import NO_BROWSER, ROOT, browser, chromium, demo, looking

PICTURES = ROOT / "docs" / "pictures"
_MOST_BYTES = 300_000
_SIZE = {"width": 1440, "height": 900}


_STRANGEST = """async () => {
    const { columns } = await (await fetch("/api/live/anomalies?from=now-1h&to=now")).json();
    const best = columns.score.indexOf(Math.max(...columns.score.slice(5)));
    return new URLSearchParams({ sensor: columns.sensor_id[best], time: columns.time[best] }).toString();
}"""
"""The strangest of the latest anomalies, but not the very last ones: some readings shall follow it."""


def take(at: Browser, url: str) -> None:
    """Each page as it is worth showing."""
    for name, dark, query in (
        ("live", False, "?from=now-1h&to=now"),
        ("live-dark", True, "?from=now-1h&to=now"),
        ("windows", False, "?from=now-1h&to=now"),
        ("detection", False, "?from=now-1h&to=now"),
        ("analytics", False, "?from=now-1h&to=now"),
        ("alerts", False, "?from=now-1h&to=now"),
        ("health", False, "?from=now-1h&to=now"),
    ):
        with looking(at, size=_SIZE, dark=dark) as look:
            look.goes(url, name.partition("-")[0], query)
            look.page.wait_for_timeout(8_000)  # some seconds of the stream, so that its lines are lines
            _keep(look.page, name)
    with looking(at, size=_SIZE) as look:
        look.goes(url, "live")
        query = look.page.evaluate(_STRANGEST)
        look.goes(url, "detection", f"?from=now-1h&to=now&{query}")
        look.page.wait_for_selector(".panel[aria-label='What each detector said'] table")
        _keep(look.page, "anomaly")


def _keep(page: Page, name: str) -> None:
    """256 colours do: the common ones as they are, the others as near as it gets."""
    file = PICTURES / f"{name}.png"
    page.screenshot(path=file)
    with Image.open(file) as opened:
        taken = opened.convert("RGB")
    counted: Any = taken.getcolors(taken.width * taken.height)
    common = [colour for _, colour in sorted(counted, reverse=True)[:192]]
    rare = taken.quantize(64, Image.Quantize.MAXCOVERAGE).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*chain.from_iterable(common), *rare])
    taken.quantize(palette=palette, dither=Image.Dither.NONE).save(file, optimize=True)
    size = file.stat().st_size
    print(f"{file.relative_to(ROOT)}  {size / 1000:.0f} kB")
    assert size < _MOST_BYTES, f"{file} is too large for a README"


def main() -> None:
    """Run it."""
    if chromium() is None:
        raise SystemExit(NO_BROWSER)
    PICTURES.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="streamgauge-pictures-") as home,
        browser() as at,
        demo(Path(home), history="1h") as place,
    ):
        take(at, place.url)


if __name__ == "__main__":
    main()
