"""Keys that were found good a moment ago: a busy caller costs one look at the database a second."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from core.services.keys import Verified
from core.services.principal import Principal

MAX_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class _Known:
    principal: Principal
    until: float


@dataclass(frozen=True, slots=True)
class Asked:
    """When the database was asked for a key, and how many keys had been revoked by then."""

    at: float
    revocations: int


class KnownKeys:
    """Callers by the digest of their key, each for at most ``seconds`` (0: not at all).

    A key that is revoked by this process is refused at once; one that another process revokes is
    refused here after ``seconds`` at the latest. No key outlives its expiry.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._revocations = 0
        self._lock = threading.Lock()

    def find(self, digest: str) -> Principal | None:
        """Return whose key this is; None when it has to be looked up (again)."""
        with self._lock:
            known = self._known.get(digest)
            if known is None:
                return None
            if known.until > self._clock():
                return known.principal
            del self._known[digest]
        return None

    def asked(self) -> Asked:
        """Return what to hand to :meth:`keep`; take it before the database is asked."""
        with self._lock:
            return Asked(self._clock(), self._revocations)

    def keep(self, digest: str, verified: Verified, asked: Asked) -> None:
        """Remember a key that the database found good, unless one was revoked meanwhile."""
        seconds = self._seconds
        if verified.seconds_left is not None:
            seconds = min(seconds, verified.seconds_left)
        with self._lock:
            if asked.revocations != self._revocations:  # it may be this one, seen before
                return
            self._known[digest] = _Known(verified.principal, asked.at + seconds)
            self._known.move_to_end(digest)
            if len(self._known) > MAX_KEYS:
                self._known.popitem(last=False)

    def forget(self, key_id: str) -> None:
        """Look a key up again at its next request: it has been revoked."""
        with self._lock:
            self._revocations += 1
            for digest in [d for d, k in self._known.items() if k.principal.key_id == key_id]:
                del self._known[digest]
