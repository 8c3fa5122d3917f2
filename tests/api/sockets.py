"""Bare connections to the service, for what no client library would send."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.api.world import World

DEADLINE = 15.0
"""No test waits longer; the settings under test are of one second."""


@contextmanager
def connected(world: World) -> Iterator[socket.socket]:
    address = urlsplit(world.url)
    with socket.create_connection((address.hostname, address.port), timeout=DEADLINE) as made:
        yield made


def to_the_end(connection: socket.socket) -> bytes:
    """Read until the server closes; a server that never does ends in TimeoutError."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def problem(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["code"]
