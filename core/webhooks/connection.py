"""Connections that go to an address that was checked, end in time and read little.

The host is resolved once, by us; the address that passed the check is the one that is connected
to, so that a second answer of the name server (DNS rebinding) has no effect. TLS still names and
verifies the host.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpcore

from core.webhooks.addresses import Address, Policy, Refused, check_address

Resolve = Callable[[str, int], Sequence[Address]]


class Failed(Exception):
    """A delivery did not reach its receiver; ``code`` is stable."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def resolve(host: str, port: int) -> list[Address]:
    """Return all addresses of a host, in the resolver's order."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Failed("host_not_found", f"{host} has no address: {error}") from error
    addresses = [ipaddress.ip_address(str(entry[4][0])) for entry in found]
    return list(dict.fromkeys(addresses))


class Budget:
    """What one delivery may cost: seconds in all, and bytes that are read."""

    def __init__(self, seconds: float, read_bytes: int) -> None:
        self._until = time.monotonic() + seconds
        self._bytes = read_bytes

    def left(self) -> float:
        """Return the seconds that are left; Failed ``timeout`` when there are none."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise Failed("timeout", "The receiver did not answer in time")
        return left

    def read(self, count: int) -> None:
        self._bytes -= count
        if self._bytes < 0:
            raise Failed("answer_too_long", "The receiver's answer is too long")


class Checked(httpcore.NetworkBackend):
    """Connects to a host's address only after all its addresses have passed the policy."""

    def __init__(self, policy: Policy, budget: Budget, find: Resolve) -> None:
        self._policy = policy
        self._budget = budget
        self._resolve = find
        self._network = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = self._resolve(host, port)
        if not addresses:
            raise Failed("host_not_found", f"{host} has no address")
        for address in addresses:  # one that is refused condemns the host: it may be a trap
            try:
                check_address(address, self._policy)
            except Refused as reason:
                raise Failed(reason.code, f"{host}: {reason.detail}") from reason
        return Bounded(self._first(addresses, port, socket_options), self._budget)

    def _first(
        self, addresses: Sequence[Address], port: int, options: Iterable[Any] | None
    ) -> httpcore.NetworkStream:
        for address in addresses[:-1]:
            try:
                return self._connected(address, port, self._budget.left() / 2, options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return self._connected(addresses[-1], port, self._budget.left(), options)

    def _connected(
        self, address: Address, port: int, seconds: float, options: Iterable[Any] | None
    ) -> httpcore.NetworkStream:
        return self._network.connect_tcp(
            str(address), port, timeout=seconds, socket_options=options
        )


class Bounded(httpcore.NetworkStream):
    """A stream on which no operation outlasts the budget."""

    def __init__(self, stream: httpcore.NetworkStream, budget: Budget) -> None:
        self._stream = stream
        self._budget = budget

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._stream.read(max_bytes, timeout=self._budget.left())
        self._budget.read(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout=self._budget.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, timeout=self._budget.left())
        return Bounded(stream, self._budget)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
