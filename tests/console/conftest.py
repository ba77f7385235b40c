"""One demo and one browser for all that looks at the console."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.console import site


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Headless; without one the tests are skipped."""
    if site.chromium() is None:
        pytest.skip(site.NO_BROWSER)
    with site.browser() as browser:
        yield browser


@pytest.fixture(scope="package")
def place(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[site.Place]:
    """A demo with some history, live."""
    with site.demo(tmp_path_factory.mktemp("console")) as running:
        yield running
