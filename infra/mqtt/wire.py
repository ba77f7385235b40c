"""What paho does not do with a connection: end it so that nothing written is lost, and say why one has failed."""

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from typing_extensions import override

GOOD_BYE_S = 2.0
"""How long the end of a connection may take."""


@contextmanager
def lingering(connection: Any) -> Iterator[None]:
    """Keeps a connection open until the other side has read what was written in the block, and hangs up.

    paho closes it at once; what the broker has not read by then is lost when something came in that we have not read.
    """
    kept = socket.socket(fileno=os.dup(connection.fileno()))
    try:
        yield
        with suppress(OSError):
            kept.settimeout(GOOD_BYE_S)
            kept.shutdown(socket.SHUT_WR)
            while kept.recv(65_536):
                pass
    finally:
        kept.close()


class Words(logging.Logger):
    """Keeps the last error paho logs: of a connection that ends early it is all there is."""

    said = ""

    def __init__(self) -> None:
        super().__init__("paho")

    @override
    def log(self, level: int, msg: object, *args: object, **given: Any) -> None:
        if level >= logging.ERROR:
            self.said = str(msg) % args


def tls_reason(said: str) -> str:
    """ "... [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: ... (_ssl.c:1006)", in words."""
    return re.sub(r"^.*\[SSL: \w+\] | \(_ssl\.c:\d+\)$", "", said)
