"""Free TCP ports on loopback."""

from __future__ import annotations

import random
import socket

from core.embedded.errors import EmbeddedFailure

LOOPBACK = "127.0.0.1"
# Below Linux' range of ephemeral ports (32768..60999), so that no outgoing connection of this
# machine takes a server's port while the server restarts.
FIRST, LAST = 20_000, 32_000


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this port of loopback now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do it: connections in TIME_WAIT do not count, listeners do.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(preferred: int | None = None) -> int:
    """Return ``preferred`` if it is free, else a random free port; both may be taken soon."""
    if preferred is not None and is_free(preferred):
        return preferred
    picks = random.SystemRandom().sample(range(FIRST, LAST), 200)
    for port in picks:
        if is_free(port):
            return port
    raise EmbeddedFailure(f"No free port between {FIRST} and {LAST} on {LOOPBACK}.")
