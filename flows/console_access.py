"""Who may see the console, as its settings say it."""

import logging
import ssl
from contextlib import closing
from ipaddress import ip_network
from pathlib import Path

from flows.settings import Console, Settings, SettingsError
from infra.console.access.guard import Rules
from infra.console.access.sessions import Lifetime
from infra.console.access.store import Store
from infra.http.server import CannotServe, is_loopback, tls_context

logger = logging.getLogger(__name__)


def access_rules(settings: Settings, host: str) -> Rules:
    """host: where the console listens. Raises SettingsError, AccessError."""
    given = settings.console
    _check_proxies(given)
    if not demands_login(given, host):
        return Rules()
    _check_users(given, users_file(settings))
    if not given.cert_file and not given.proxies and not is_loopback(host):
        logger.warning(
            "passwords and sessions go over the network in the clear: set console.cert_file and key_file for HTTPS, or "
            "put a proxy before it and name it in console.proxies"
        )
    return Rules(Lifetime(given.session_idle.ms, given.session_longest.ms), given.proxies)


def users_file(settings: Settings) -> Path:
    """Of users and audit."""
    return Path(settings.console.users or Path(settings.data_dir) / "console.sqlite")


def demands_login(given: Console, host: str) -> bool:
    """Off loopback always, and behind a proxy, which others get through."""
    return given.login == "always" or bool(given.proxies) or not is_loopback(host)


def tls(given: Console) -> ssl.SSLContext | None:
    """None for plain HTTP. Raises SettingsError."""
    if bool(given.cert_file) != bool(given.key_file):
        raise SettingsError("console.cert_file, console.key_file: HTTPS needs both")
    if not given.cert_file:
        return None
    try:
        return tls_context(given.cert_file, given.key_file, password=str(given.key_password))
    except CannotServe as error:
        raise SettingsError(f"console.cert_file, console.key_file: {error}") from None


def _check_users(given: Console, file: Path) -> None:
    with closing(Store(file)) as store:
        if not store.users():
            raise SettingsError(
                f"console.listen = '{given.listen}' demands login, and there are no users yet: "
                "`streamgauge console user add NAME --role admin`"
            )


def _check_proxies(given: Console) -> None:
    for one in given.proxies:
        try:
            ip_network(one)
        except ValueError as error:
            raise SettingsError(f"console.proxies: {error}; addresses or networks, such as '10.0.0.7'") from None
