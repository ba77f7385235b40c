"""Alerts by e-mail, over SMTP."""

import smtplib
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Literal

from infra.notify.message import NotTold, Telling
from infra.notify.text import Words

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
    words: Words = field(default_factory=Words)

    def tell(self, telling: Telling) -> None:
        """Raises NotTold."""
        with self._explained(), self._server() as server:
            refused = server.send_message(self._message(telling))
        if refused:
            raise NotTold(f"recipients refused: {', '.join(refused)}", lasting=True)

    def reach(self) -> str:
        """Log in, and send nothing. Raises NotTold."""
        with self._explained(), self._server() as server:
            server.noop()
        return f"SMTP at {self.host}:{self.port} lets us in"

    def idle(self) -> None:
        """Nothing to keep in touch with."""

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
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
        except ssl.SSLCertVerificationError as error:
            raise NotTold(f"{self.host}:{self.port}: TLS: {error.verify_message}") from None
        except (smtplib.SMTPException, OSError) as error:
            raise NotTold(f"{self.host}:{self.port}: {error}") from None

    @contextmanager
    def _server(self) -> Iterator[smtplib.SMTP]:
        """Encrypted and logged in, as configured."""
        trusted = ssl.create_default_context()
        with (
            smtplib.SMTP_SSL(self.host, self.port, timeout=_TIMEOUT_S, context=trusted)
            if self.security == "tls"
            else smtplib.SMTP(self.host, self.port, timeout=_TIMEOUT_S)
        ) as server:
            if self.security == "starttls":
                server.starttls(context=trusted)
            if self.username:
                server.login(self.username, self.password)
            yield server

    def _message(self, telling: Telling) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = self.words.title(telling)
        message["From"] = self.sender
        message["To"] = ", ".join(self.recipients)
        # The same for every attempt, so that mail programs show it once.
        message["Message-ID"] = f"<{telling.key}@streamgauge>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(self.words.body(telling))
        return message
