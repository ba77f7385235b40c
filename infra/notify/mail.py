"""Alerts by e-mail, over SMTP."""

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Literal

from infra.notify.message import Change, NotTold, Telling, subject

_TIMEOUT_S = 20.0
_WRONG_LOGIN = 535


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """security: starttls, tls from the first byte, or none at all. username: "" for no login."""

    host: str
    port: int
    sender: str
    recipients: Sequence[str]
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    password: str = field(default="", repr=False)

    def tell(self, telling: Telling) -> None:
        """Raises NotTold."""
        try:
            with self._server() as server:
                if self.security == "starttls":
                    server.starttls(context=ssl.create_default_context())
                if self.username:
                    server.login(self.username, self.password)
                refused = server.send_message(self._message(telling))
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            raise NotTold(f"recipients refused: {', '.join(error.recipients)}", lasting=min(codes) >= 500) from None
        except smtplib.SMTPResponseException as error:
            said = (
                error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
            )
            # A login can be corrected, and then what waits shall be told.
            lasting = error.smtp_code >= 500 and error.smtp_code != _WRONG_LOGIN
            raise NotTold(f"SMTP {error.smtp_code}: {said}", lasting=lasting) from None
        except (smtplib.SMTPException, OSError) as error:
            raise NotTold(f"{self.host}:{self.port}: {error}") from None
        if refused:
            raise NotTold(f"recipients refused: {', '.join(refused)}", lasting=True)

    def idle(self) -> None:
        """Nothing to keep in touch with."""

    def _server(self) -> smtplib.SMTP:
        if self.security == "tls":
            return smtplib.SMTP_SSL(self.host, self.port, timeout=_TIMEOUT_S, context=ssl.create_default_context())
        return smtplib.SMTP(self.host, self.port, timeout=_TIMEOUT_S)

    def _message(self, telling: Telling) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = " ".join(subject(telling).split())[:200]
        message["From"] = self.sender
        message["To"] = ", ".join(self.recipients)
        # The same for every attempt, so that mail programs show it once.
        message["Message-ID"] = f"<{telling.key}@streamgauge>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content("\n\n".join(_paragraph(change) for change in telling.changes) + _left_out(telling))
        return message


def _paragraph(change: Change) -> str:
    lines = [
        change.reason,
        f"  {change.state}, {change.severity}, rule {change.rule}, since {change.started_at}"
        + (f" until {change.ended_at}" if change.ended_at else ""),
        *(f"  {name}: {label}" for name, label in change.labels.items()),
        f"  streamgauge alerts show {change.alert_id}",
    ]
    return "\n".join(lines)


def _left_out(telling: Telling) -> str:
    return f"\n\nand {telling.left_out} more: streamgauge alerts list\n" if telling.left_out else "\n"
