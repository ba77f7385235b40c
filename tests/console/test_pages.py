"""Every page of the console in a browser: live data, no complaint, nothing that keeps anybody out."""

import csv
import io
from typing import Any
from urllib.parse import parse_qs

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from infra.simulate.runner import wall_clock_ms
from tests.console.site import PAGES, PHONE, Look, Place, looking

_OVERFLOW = """() => {
    const wide = document.documentElement.clientWidth;
    return [...document.querySelectorAll("body *")]
        .filter((el) => el.getBoundingClientRect().right > wide + 1 && !el.closest(".scroll, nav, svg, .skip"))
        .map((el) => `${el.tagName}.${el.className}`).slice(0, 5);
}"""


def faults(page: Page) -> list[str]:
    """What axe finds serious or critical."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['help']}: {node['html'][:160]} {node['failureSummary']}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:3]
    ]


def told(look: Look) -> dict[str, Any]:
    """What the panels of a page show: how many there are, which are empty, which say that something failed."""
    result: dict[str, Any] = look.page.evaluate(
        """() => {
            const panels = [...document.querySelectorAll(".panel")];
            const title = (panel) => panel.getAttribute("aria-label");
            return {
                count: panels.length,
                empty: panels.filter((panel) => panel.querySelector(".empty")).map(title),
                failed: [...document.querySelectorAll("main .error")].map((el) => el.textContent),
            };
        }"""
    )
    return result


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_live_data_in_light_dark_and_on_a_phone(chromium: Browser, place: Place, name: str) -> None:
    with looking(chromium) as look:
        look.goes(place.url, name)
        expect(look.page.locator("#link")).to_have_text("live")
        shown = told(look)
        assert shown["count"] >= 2, "panels"
        assert not shown["failed"]
        assert len(shown["empty"]) <= shown["count"] / 2, shown["empty"]
        look.keeps(f"{name}-light")
        assert not faults(look.page)
        look.page.click("#theme")
        expect(look.page.locator("html")).to_have_attribute("data-theme", "dark")
        look.keeps(f"{name}-dark")
        assert not faults(look.page)
    with looking(chromium, size=PHONE) as look:
        look.goes(place.url, name)
        look.keeps(f"{name}-phone")
        assert look.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), look.page.evaluate(_OVERFLOW)


def test_new_readings_come_by_themselves(chromium: Browser, place: Place) -> None:
    with looking(chromium) as look:
        look.goes(place.url, "live")
        tile = look.page.locator(".tile", has_text="Windows closed until").locator(".value")
        expect(tile).not_to_have_text("–")
        spark = look.page.locator(".tile .spark path").first
        before = spark.get_attribute("d")
        look.page.wait_for_function(
            "(d) => document.querySelector('.tile .spark path').getAttribute('d') !== d", arg=before
        )


def test_filters_change_what_is_shown_and_the_address_keeps_them(chromium: Browser, place: Place) -> None:
    with looking(chromium) as look:
        page = look.page
        look.goes(place.url, "live")
        options = page.locator("select[name=location] option")
        location = options.nth(1).get_attribute("value")
        page.select_option("select[name=location]", location)
        page.wait_for_url(f"**location={location}**")
        look.shows("live")
        page.click("button:text-is('1 h')")
        page.wait_for_url("**from=now-1h**")
        look.shows("live")
        answer = page.evaluate(
            "async (l) => (await (await fetch(`/api/live/anomalies?from=now-1h&to=now&location=${l}`)).json()).columns",
            location,
        )
        assert set(answer["location"]) == {location}
        shown = page.locator(".panel[aria-label='Latest anomalies'] tbody tr td:nth-child(2)").all_inner_texts()
        assert shown
        assert all(str(location) in sensor for sensor in shown), "the simulator's sensors have their place in the name"
        address = page.url
        page.click("nav a:text-is('Windows')")
        look.shows("windows")
        assert f"location={location}" in page.url, "the next page is asked about the same"
        page.go_back()
        look.shows("live")
        assert page.url == address
        page.reload()
        look.shows("live")
        assert page.locator("select[name=location]").input_value() == location
        page.click("button[name=clear]")
        page.wait_for_function("!location.hash.includes('location')")


def test_an_anomaly_leads_to_all_that_is_known_of_it(chromium: Browser, place: Place) -> None:
    with looking(chromium) as look:
        look.goes(place.url, "live", "?from=now-1h&to=now")
        look.page.locator(".panel[aria-label='Latest anomalies'] tbody a").first.click()
        look.shows("detection")
        given = parse_qs(look.page.url.partition("?")[2])
        assert given["time"]
        expect(look.page.locator("main")).to_contain_text(given["sensor"][0])
        expect(look.page.locator(".panel[aria-label='What each detector said']")).to_contain_text("forecast")
        assert not told(look)["failed"]
        look.keeps("anomaly")


def test_what_a_chart_shows_downloads_as_csv(chromium: Browser, place: Place) -> None:
    with looking(chromium) as look:
        for name in ("windows", "analytics"):
            look.goes(place.url, name)
            link = look.page.locator(".panel .tools a[download]").first
            with look.page.expect_download() as download:
                link.click()
            text = download.value.path().read_text(encoding="utf-8")
            header, *rows = csv.reader(io.StringIO(text))
            assert len(header) >= 2, name
            assert rows, name
            assert all(len(row) == len(header) for row in rows)
            assert download.value.suggested_filename.startswith(f"streamgauge-{name}-")


def test_the_keyboard_reaches_everything(chromium: Browser, place: Place) -> None:
    with looking(chromium) as look:
        page = look.page
        now_ms = wall_clock_ms()
        look.goes(place.url, "live", f"?from={now_ms - 600_000}&to={now_ms}")  # nothing is drawn anew meanwhile
        page.locator(".brand").focus()
        page.keyboard.press("Shift+Tab")
        expect(page.locator(".skip")).to_be_focused()
        reached = []
        for _ in range(60):
            page.keyboard.press("Tab")
            reached.append(
                page.evaluate(
                    "(() => { const el = document.activeElement, style = getComputedStyle(el);"
                    " return [el.getAttribute('aria-label') || el.textContent.trim().slice(0, 40) || el.name,"
                    " style.outlineStyle !== 'none' || el.matches('.skip')]; })()"
                )
            )
        names = [name for name, _ in reached]
        for wanted in ("Windows", "Health", "Switch between light and dark", "15 min"):
            assert wanted in names, f"{wanted!r} is not among {names}"
        assert any(" – " in name for name in names), "a range of one's own"
        assert any("CSV" in name for name in names)
        assert all(visible for _, visible in reached[:20]), "where the focus is can be seen"
        page.locator("nav a", has_text="Alerts").focus()
        page.keyboard.press("Enter")
        look.shows("alerts")
