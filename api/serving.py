"""Serves the application on a socket, inherited if need be, and ends without dropping anybody.

A parent that keeps the listening socket while it starts this process again (the embedded stack)
loses no connection: those that come meanwhile wait in the socket's queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys

import uvicorn
from uvicorn.config import STARTUP_FAILURE

log = logging.getLogger("uvicorn.error")

LINGER_SECONDS = 0.5
"""After the last connection was taken, for its request to arrive."""


class Server(uvicorn.Server):
    """A server that answers what it has accepted: uvicorn closes a connection without a request."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        await asyncio.sleep(LINGER_SECONDS)
        await super().shutdown(sockets)


def serve(config: uvicorn.Config, descriptor: int | None = None) -> None:
    """Serve until told to stop; ``descriptor``: of a listening socket, else one is opened."""
    server = Server(config)
    sockets = None
    if descriptor is not None:
        sockets = [socket.socket(fileno=descriptor)]
        log.info("Serving on the inherited socket %s", sockets[0].getsockname())
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets)
    if not server.started:
        sys.exit(STARTUP_FAILURE)
