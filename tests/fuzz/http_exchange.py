"""A request handled in this thread, over a pair of sockets: whatever the handler raises is seen."""

import socket

from infra.observe.health import HealthServer

_MOST_BYTES = 150_000
"""What a socket takes in without anybody reading."""


def handled(server: HealthServer, request: bytes) -> bytes:
    """All the bytes of the answer; the client says nothing more after its request."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(request[:_MOST_BYTES])
        ours.shutdown(socket.SHUT_WR)
        inner = server._server
        inner.RequestHandlerClass(theirs, ("127.0.0.1", 1), inner)
        theirs.shutdown(socket.SHUT_RDWR)
        pieces = []
        while piece := ours.recv(65_536):
            pieces.append(piece)
        return b"".join(pieces)
