"""A report opens from a file, without a server or a network, and shows what the console's pages show."""

from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.console.site import PAGES, Place, looking
from tests.console.test_pages import faults, told
from tests.flows.commands import streamgauge

_MOST_BYTES = 8_000_000


def test_a_report_opens_from_a_file_and_asks_nobody(chromium: Browser, place: Place, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    env = {"STREAMGAUGE_DATA_DIR": str(place.home / "data")}
    made = streamgauge("report", "--since", "30m", "--out", file, env=env, timeout_s=300)
    assert made.returncode == 0, made.stderr
    assert file.stat().st_size < _MOST_BYTES
    with looking(chromium) as look:
        page = look.page
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        page.wait_for_selector("main[data-ready=report]")
        assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
        assert page.locator("main > section").evaluate_all("all => all.map(el => el.id)") == list(PAGES)
        shown = told(look)
        assert not shown["failed"]
        assert len(shown["empty"]) < shown["count"] / 2, shown["empty"]
        look.keeps("report")
        assert not faults(page)
        page.locator("#live .panel[aria-label='Latest anomalies'] tbody a").first.click()
        expect(page.locator("#detection")).to_contain_text("What each detector said")
        assert not told(look)["failed"]
        page.click("#detection a:has-text('All detection')")
        expect(page.locator("#detection")).to_contain_text("How right is each detector?")
        with page.expect_download() as download:
            page.locator("#windows a[download]").first.click()
        assert download.value.path().read_text(encoding="utf-8").count("\n") > 1
        assert page.pdf().startswith(b"%PDF")
