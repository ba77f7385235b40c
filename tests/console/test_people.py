"""People at the console in a browser: login, what each role may, acknowledging an alert."""

import re

from playwright.sync_api import Browser, Page, expect

from tests.console.site import PASSWORD, PHONE, Place, looking
from tests.console.test_pages import faults


def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    """As people do, with the keyboard."""
    page.locator("#name").fill(name)
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")


def test_login_leads_to_the_page_that_was_asked_for(chromium: Browser, place: Place) -> None:
    with looking(chromium, expected=(401,)) as look:
        page = look.page
        page.goto(f"{place.guarded}/#/windows?from=now-1h&to=now")
        page.wait_for_url("**/login**")
        expect(page.locator("#name")).to_be_focused()
        look.keeps("login-light")
        assert not faults(page)
        log_in(page, "vera", "wrong password")
        expect(page.locator("[role=alert]")).to_have_text("Name or password are not right.")
        assert page.locator("#name").input_value() == "vera"
        look.keeps("login-refused")
        assert not faults(page)
        log_in(page, "vera")
        look.shows("windows")
        assert page.url.endswith("/#/windows?from=now-1h&to=now")
        expect(page.locator("#me")).to_contain_text("vera (viewer)")
        page.click("#me button")
        page.wait_for_url("**/login")
        page.goto(f"{place.guarded}/#/live")
        page.wait_for_url("**/login**")
    with looking(chromium, size=PHONE, dark=True) as look:
        look.page.goto(f"{place.guarded}/login")
        look.keeps("login-phone-dark")
        assert not faults(look.page)


_POST = """async ([deed, body]) => {
    const { csrf } = await (await fetch("/api/me")).json();
    const headers = { "content-type": "application/json", "x-csrf-token": csrf };
    const answer = await fetch(`/api/alerts/${deed}`, { method: "POST", headers, body: JSON.stringify(body) });
    return [answer.status, await answer.json()];
}"""


def first_open_alert(page: Page) -> str:
    """Choose it; its id."""
    page.locator(".panel[aria-label='Open alerts'] tbody a").first.click()
    page.wait_for_url("**alert=**")
    expect(page.locator(".panel[aria-label='Alert']")).to_contain_text(re.compile("critical|warning"))
    return page.url.partition("alert=")[2].partition("&")[0]


def test_a_viewer_looks_and_an_operator_acknowledges(chromium: Browser, place: Place) -> None:
    with looking(chromium, expected=(401, 403)) as look:
        page = look.page
        page.goto(f"{place.guarded}/#/alerts")
        page.wait_for_url("**/login**")
        log_in(page, "vera")
        look.shows("alerts")
        alert = first_open_alert(page)
        assert page.locator("button:text-is('Acknowledge')").count() == 0
        assert page.locator("#me a").count() == 0, "the audit is for admins"
        status, told = page.evaluate(_POST, ["acknowledge", {"alert_id": alert}])
        assert (status, told) == (403, {"error": "vera is a viewer and may look; this takes an operator"})
    with looking(chromium, expected=(401,)) as look:
        page = look.page
        page.goto(f"{place.guarded}/login?next=/%23/alerts")
        log_in(page, "otto")
        look.shows("alerts")
        first_open_alert(page)
        page.locator("form[aria-label='Do something about this alert'] input[aria-label=Comment]").fill("on my way")
        page.click("button:text-is('Acknowledge')")
        expect(page.locator(".panel[aria-label='Alert']")).to_contain_text("otto acknowledged: on my way")
        expect(page.locator(".panel[aria-label='Open alerts']")).to_contain_text("by otto")
        look.keeps("alert-acknowledged")
        assert not faults(page)


def test_on_loopback_everybody_may_act(chromium: Browser, place: Place) -> None:
    with looking(chromium) as look:
        page = look.page
        look.goes(place.url, "alerts")
        assert page.locator("#me").inner_text() == ""
        alert = first_open_alert(page)
        status, told = page.evaluate(_POST, ["comment", {"alert_id": alert, "comment": "seen"}])
        assert (status, "error" in told) == (200, False), told
