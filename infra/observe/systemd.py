"""Telling systemd, or whatever else listens on NOTIFY_SOCKET, how a service is: see sd_notify(3)."""

import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress


class Systemd:
    """Says nothing when nobody listens. The variables are taken out of the environment: child processes are not it."""

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        place = environ.pop("NOTIFY_SOCKET", "")
        watchdog_us = environ.pop("WATCHDOG_USEC", "")
        whose = environ.pop("WATCHDOG_PID", str(os.getpid()))
        # "@" stands for the zero byte that an abstract address begins with.
        self._address = "\0" + place[1:] if place.startswith("@") else place
        self._watched = watchdog_us.isdigit() and whose == str(os.getpid())

    def ready(self, status: str) -> None:
        """The service has started."""
        self._tell("READY=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """One line for people, shown by `systemctl status`."""
        self._tell(f"STATUS={status}")

    def stopping(self, status: str) -> None:
        """The service is on its way to its end."""
        self._tell("STOPPING=1", f"STATUS={status}")

    def alive(self) -> None:
        """To be called every second: without it systemd, when asked to by WatchdogSec, restarts the service."""
        if self._watched:
            self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            # Whoever listened is gone, or does not read: no reason to stop working.
            told.setblocking(False)
            told.sendto("\n".join(lines).encode(), self._address)
