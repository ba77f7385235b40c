"""Whether the console can be looked at here."""

import pytest

from tests.console.site import NO_BROWSER, chromium


def test_there_is_a_browser() -> None:
    if chromium() is None:
        pytest.skip(NO_BROWSER)
