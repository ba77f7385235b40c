"""Alerts by apprise: chats, pagers, phones, by the URLs it knows (slack://..., pagerduty://..., tgram://...)."""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from typing import Any
from urllib.parse import unquote

from typing_extensions import override

from infra.notify.message import NotTold, Telling, worst
from infra.notify.text import Words

_LEAST_SECRET = 4
"""Pieces of a URL so short are no secrets: they are words such as `on`."""


class Everything:
    """url: as apprise wants it; it holds tokens, and is shown nowhere. Raises ValueError for one it does not know."""

    def __init__(self, url: str, words: Words) -> None:
        if find_spec("apprise") is None:
            raise ValueError("needs one more package: pip install 'streamgauge[apprise]'")
        import apprise

        self._apprise: Any = apprise
        self._told_by = apprise.Apprise()
        self._words = words
        self._secrets = _pieces(url)
        with _heard() as said:
            known = self._told_by.add(url)
        if not known:
            scheme = url.partition("://")[0] if "://" in url else "none"
            why = self._redacted(said) or "see https://appriseit.com/services/"
            raise ValueError(f"apprise does not understand its address (scheme {scheme[:20]!r}): {why}")

    @property
    def service(self) -> str:
        """Its name, "Slack"."""
        return str(next(iter(self._told_by)).service_name)

    def tell(self, telling: Telling) -> None:
        """Raises NotTold."""
        kinds = self._apprise.NotifyType
        resolved = all(change.state == "resolved" for change in telling.changes)
        by_severity = {"critical": kinds.FAILURE, "warning": kinds.WARNING}
        kind = kinds.SUCCESS if resolved else by_severity.get(worst(telling.changes), kinds.INFO)
        with _heard() as said:
            told = self._told_by.notify(
                title=self._words.title(telling),
                body=self._words.body(telling),
                notify_type=kind,
                body_format=self._apprise.NotifyFormat.TEXT,
            )
        if not told:
            raise NotTold(f"{self.service}: {self._redacted(said) or 'did not take it'}")

    def reach(self) -> str:
        """Only whether the address is one: to tell somebody is the only other thing apprise can do."""
        return f"{self.service}; `streamgauge alerts test` tells it something"

    def idle(self) -> None:
        """Nothing to keep in touch with."""

    def _redacted(self, said: Sequence[str]) -> str:
        text = "; ".join(said)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())[:300]


_said: ContextVar[list[str] | None] = ContextVar("said", default=None)
"""Where what apprise says goes; it takes the context along to its own threads."""


class _Listener(logging.Handler):
    """Hears warnings, each for whoever told something then: other channels are at work in their threads."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        said = _said.get()
        if said is not None:
            said.append(record.getMessage())


_listener = _Listener(logging.WARNING)


@contextmanager
def _heard() -> Iterator[list[str]]:
    logger = logging.getLogger("apprise")
    logger.propagate = False  # it may say what is secret
    logger.addHandler(_listener)  # once, however often
    said: list[str] = []
    before = _said.set(said)
    try:
        yield said
    finally:
        _said.reset(before)


def _pieces(url: str) -> list[str]:
    """All of a URL but its scheme and the names of its parameters, the longest first."""
    _, _, rest = url.partition("://")
    found = {rest, *re.split(r"[/?&@:]", rest)} | {one.partition("=")[2] for one in re.split(r"[?&]", rest)}
    found |= {unquote(one) for one in found}
    return sorted((one for one in found if len(one) >= _LEAST_SECRET), key=len, reverse=True)
