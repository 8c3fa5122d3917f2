"""One POST to a receiver: no proxy, no redirect, nothing of the answer kept but its status."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

import httpcore
import httpx

from core.webhooks.addresses import Policy, Refused, check_url
from core.webhooks.connection import Budget, Checked, Failed, Resolve, resolve

READ_BYTES = 64 * 1024
"""Most bytes that are read of an answer, its headers included."""
_MAX_RETRY_AFTER = 24 * 3600
_BROKEN = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError)


@dataclass(frozen=True, slots=True)
class Received:
    """What a receiver said; ``retry_after`` in seconds, 0 when it said nothing of it."""

    status: int
    retry_after: int = 0

    @property
    def taken(self) -> bool:
        return 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        return self.status == 410


@lru_cache(maxsize=1)
def trust() -> ssl.SSLContext:
    """Return who is believed: the usual authorities, or those of SSL_CERT_FILE."""
    return httpx.create_ssl_context()


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    policy: Policy,
    seconds: float,
    *,
    find: Resolve = resolve,
    tls: ssl.SSLContext | None = None,
) -> Received:
    """Send a body within ``seconds`` in all; Failed says why nothing was answered."""
    try:
        target = check_url(url, policy)
    except Refused as reason:
        raise Failed(reason.code, reason.detail) from reason
    sent = {
        "Host": target.host_header,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "User-Agent": "DermSynth3D-webhooks/1",
        "Connection": "close",
        **headers,
    }
    backend = Checked(policy, Budget(seconds, READ_BYTES), find)
    address = httpcore.URL(
        scheme=target.scheme, host=target.host, port=target.port, target=target.path
    )
    with httpcore.ConnectionPool(ssl_context=tls or trust(), network_backend=backend) as pool:
        try:
            with pool.stream("POST", address, headers=list(sent.items()), content=body) as answer:
                received = Received(answer.status, _retry_after(answer.headers))
                # a receiver that is cut off while it answers would count that as an error
                with suppress(Failed, *_BROKEN):
                    for _ in answer.iter_stream():
                        pass
                return received
        except httpcore.TimeoutException as error:
            raise Failed("timeout", "The receiver did not answer in time") from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise Failed("connection_failed", _reason(error)) from error


def _retry_after(headers: list[tuple[bytes, bytes]]) -> int:
    for name, value in headers:
        if name.lower() == b"retry-after" and value.isdigit() and len(value) <= 9:
            return min(_MAX_RETRY_AFTER, int(value))
    return 0


def _reason(error: Exception) -> str:
    """Return what went wrong in one line; TLS and sockets say it well themselves."""
    return f"{type(error).__name__}: {error}"[:300]
