"""The console as people meet it: a demo that runs, a browser that looks, and everything it complains about."""

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    expect,
    sync_playwright,
)

from infra.console.access.store import Role, Store
from infra.console.access.users import Users
from tests.flows.commands import started
from tests.kafka import eventually

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "artifacts" / "console"
"""Where screenshots of a run are kept; not in git."""

PAGES = ("live", "windows", "detection", "analytics", "alerts", "health")
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
PASSWORD = "correct horse battery"
NO_BROWSER = "the console is not looked at: no Chromium here (apt-get install chromium)"

_PATIENCE_MS = 60_000
"""Machines that test are busy; who waits for something to come goes on as soon as it is there."""

_ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)


def chromium() -> str | None:
    """Where the browser is."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def browser() -> Iterator[Browser]:
    """One for all tests; each has a context of its own."""
    expect.set_options(timeout=_PATIENCE_MS)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium(), args=list(_ARGUMENTS))
        try:
            yield launched
        finally:
            launched.close()


@dataclass(frozen=True)
class Place:
    """url: of the demo's console. guarded: of one over the same data that demands login."""

    url: str
    guarded: str
    home: Path


@contextmanager
def demo(home: Path, *, history: str = "15m", rate: str = "100") -> Iterator[Place]:
    """`streamgauge demo`, live, and a second console that demands login, with vera (viewer) and otto (operator)."""
    env = {"STREAMGAUGE_DATA_DIR": str(home / "data")}
    log = home / "demo.log"
    running = started("demo", "--history", history, "--rate", rate, env=env, log=log)
    try:
        url = _said(log, r"console +(http://[\d.]+:\d+)", within_s=300)
        _said(log, "live now", within_s=300)
        users = home / "users.sqlite"
        add_users(users, {"vera": "viewer", "otto": "operator"})
        login = env | {
            "STREAMGAUGE_CONSOLE__LOGIN": "always",
            "STREAMGAUGE_CONSOLE__USERS": str(users),
            "STREAMGAUGE_CONSOLE__LISTEN": "127.0.0.1:0",
        }
        console = started("console", env=login, log=home / "console.log")
        try:
            yield Place(url, _said(home / "console.log", r"(http://[\d.]+:\d+)", within_s=120), home)
        finally:
            console.stop()
    finally:
        running.stop()


def add_users(file: Path, roles: Mapping[str, Role]) -> None:
    """Who may log in."""
    store = Store(file)
    for name, role in roles.items():
        Users(store, by="tests", now_ms=0).add(name, role, PASSWORD)
    store.close()


def _said(log: Path, pattern: str, *, within_s: float) -> str:
    found: list[str] = []

    def look() -> bool:
        match = re.search(pattern, log.read_text()) if log.exists() else None
        found[:] = [match[match.lastindex or 0]] if match else []
        return bool(match)

    assert eventually(look, within_s=within_s), f"{pattern!r} was not said:\n{log.read_text()}"
    return found[0]


@dataclass
class Look:
    """A page, and what went wrong on it: errors in the console, scripts that failed, requests that did."""

    page: Page
    problems: list[str] = field(default_factory=list)
    expected: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._answered)

    def goes(self, url: str, name: str, query: str = "") -> None:
        """To one of the console's pages, until it shows what it has."""
        self.page.goto(f"{url}/#/{name}{query}")
        self.shows(name)

    def shows(self, name: str) -> None:
        """Until the page is there with its first data."""
        self.page.wait_for_selector(f"main[data-ready={name}]")

    def keeps(self, name: str) -> None:
        """A screenshot of all of it."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True)

    def _said(self, message: ConsoleMessage) -> None:
        expected = any(f"status of {status}" in message.text for status in self.expected)
        if message.type in ("error", "warning") and not expected:
            self.problems.append(f"console: {message.text}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # a page that was left, a question that was asked anew
            self.problems.append(f"request: {request.url} {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.expected:
            self.problems.append(f"answer: {response.url} {response.status}")


@contextmanager
def looking(
    at: Browser, *, size: Mapping[str, int] = DESKTOP, dark: bool = False, expected: tuple[int, ...] = ()
) -> Iterator[Look]:
    """A page of its own; in the end nothing may have gone wrong. expected: statuses of HTTP that are no fault."""
    context: BrowserContext = at.new_context(
        viewport={"width": size["width"], "height": size["height"]},
        color_scheme="dark" if dark else "light",
        timezone_id="UTC",
        has_touch=size is PHONE,
    )
    context.set_default_timeout(_PATIENCE_MS)
    try:
        look = Look(context.new_page(), expected=expected)
        yield look
        assert not look.problems, "\n".join(look.problems)
    finally:
        context.close()
