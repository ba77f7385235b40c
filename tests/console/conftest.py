"""One demo and one browser for all that looks at the console; without a browser `test_browser.py` says so, alone."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.console import site

collect_ignore_glob = [] if site.chromium() else ["test_pages.py", "test_people.py", "test_report.py"]


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Headless."""
    with site.browser() as browser:
        yield browser


@pytest.fixture(scope="package")
def place(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[site.Place]:
    """A demo with some history, live."""
    with site.demo(tmp_path_factory.mktemp("console")) as running:
        yield running
