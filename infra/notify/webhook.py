"""Alerts as a signed HTTP POST of the shape that Alertmanager's webhook has (version 4).

X-Streamgauge-Signature: t=1795601000,v1=<hex HMAC-SHA256 of "1795601000." and the body, under the shared secret>
X-Streamgauge-Delivery: the same for every attempt, so that a receiver can drop what it has
"""

import hashlib
import hmac
import socket
import ssl
import time
from email.utils import parsedate_to_datetime
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import msgspec

from infra.notify.message import Change, NotTold, Telling

_NEVER = "0001-01-01T00:00:00Z"
"""Alertmanager's endsAt of what goes on."""
_NOT_US = (401, 403)
_AGAIN = (*_NOT_US, 408, 425, 429)
"""A wrong secret can be corrected, and then what waits shall be told."""


class _NoRedirect(HTTPRedirectHandler):
    """A signed body goes where it was meant to go, or nowhere."""

    def redirect_request(self, *_: object) -> None:
        return None


class Webhook:
    """secret: "" for no signature. timeout_s: for the whole answer to begin."""

    def __init__(self, name: str, url: str, *, secret: str = "", timeout_s: float = 10.0) -> None:
        self._name, self._url, self._secret, self._timeout_s = name, url, secret, timeout_s
        self._opener = build_opener(_NoRedirect)

    def tell(self, telling: Telling) -> None:
        """Raises NotTold."""
        body = payload(telling, receiver=self._name)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "streamgauge",
            "X-Streamgauge-Delivery": telling.key,
        }
        if self._secret:
            headers["X-Streamgauge-Signature"] = signature(self._secret, body, int(time.time()))
        try:
            with self._opener.open(Request(self._url, body, headers, method="POST"), timeout=self._timeout_s) as answer:
                answer.read(1)
        except HTTPError as error:
            with error:
                lasting = error.code < 500 and error.code not in _AGAIN
                after_s = _retry_after(error.headers.get("Retry-After", ""))
                hint = "; is the secret the one it knows?" if error.code in _NOT_US else ""
                raise NotTold(
                    f"HTTP status {error.code} {error.reason}{hint}", lasting=lasting, after_s=after_s
                ) from None
        except (URLError, OSError) as error:
            reason = error.reason if isinstance(error, URLError) else error
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise NotTold(f"TLS: {reason.verify_message}") from None
            raise NotTold(f"no answer: {reason}") from None

    def reach(self) -> str:
        """Connect, and post nothing. Raises NotTold."""
        place = urlsplit(self._url)
        secured = place.scheme == "https"
        host, port = place.hostname or "", place.port or (443 if secured else 80)
        try:
            with socket.create_connection((host, port), timeout=self._timeout_s) as connected:
                if secured:
                    with ssl.create_default_context().wrap_socket(connected, server_hostname=host):
                        pass
        except ssl.SSLCertVerificationError as error:
            raise NotTold(f"{host}:{port}: TLS: {error.verify_message}") from None
        except OSError as error:
            raise NotTold(f"{host}:{port}: {error}") from None
        return f"{host}:{port} is there; `streamgauge alerts test` posts something"

    def idle(self) -> None:
        """Nothing to keep in touch with."""


def signature(secret: str, body: bytes, at_s: int) -> str:
    """The value of X-Streamgauge-Signature."""
    signed = hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={signed}"


def payload(telling: Telling, *, receiver: str) -> bytes:
    """As Alertmanager sends it; what it has no place for is among the annotations."""
    alerts = [_alert(change) for change in telling.changes]
    firing = any(one["status"] == "firing" for one in alerts)
    labels = [_labels(change) for change in telling.changes]
    common = {name: value for name, value in labels[0].items() if all(one.get(name) == value for one in labels)}
    name = telling.changes[0].rule
    return msgspec.json.encode(
        {
            "version": "4",
            "groupKey": f'{{}}:{{alertname="{name}"}}' if not telling.summary else "{}:{}",
            "truncatedAlerts": telling.left_out,
            "status": "firing" if firing else "resolved",
            "receiver": receiver,
            "groupLabels": {} if telling.summary else {"alertname": name},
            "commonLabels": common,
            "commonAnnotations": {},
            "externalURL": "",
            "alerts": alerts,
        }
    )


def _labels(change: Change) -> dict[str, str]:
    return {"alertname": change.rule, "severity": change.severity, **change.labels}


def _alert(change: Change) -> dict[str, object]:
    return {
        "status": "resolved" if change.state == "resolved" else "firing",
        "labels": _labels(change),
        "annotations": {
            "summary": change.reason,
            "alert_id": change.alert_id,
            "source": change.source,
            "evidence": msgspec.json.encode(change.evidence).decode(),
        },
        "startsAt": change.started_at,
        "endsAt": change.ended_at or _NEVER,
        "generatorURL": "",
        "fingerprint": change.alert_id.partition("-")[0],
    }


def _retry_after(text: str) -> float | None:
    """Seconds, or a date."""
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
