"""A token bucket per key; each API process has its own, so the limit is per process."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from core.errors import TooManyRequests

MAX_KEYS = 10_000


class RateLimit:
    """Allows ``per_minute`` requests a minute and key, in bursts of up to a sixth of it.

    burst: another number. detail and code: of the error.
    """

    def __init__(
        self,
        per_minute: int,
        clock: Callable[[], float] = time.monotonic,
        *,
        burst: float | None = None,
        detail: str = "Too many requests with this key",
        code: str = "rate_limited",
    ) -> None:
        self._rate = per_minute / 60
        self._burst = max(1.0, per_minute / 6 if burst is None else burst)
        self._detail, self._code = detail, code
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: str) -> None:
        """Take one token; TooManyRequests says after how many seconds there is one again."""
        with self._lock:
            now = self._clock()
            tokens, then = self._buckets.pop(key, (self._burst, now))
            tokens = min(self._burst, tokens + (now - then) * self._rate)
            allowed = tokens >= 1
            self._buckets[key] = (tokens - 1 if allowed else tokens, now)
            if len(self._buckets) > MAX_KEYS:
                self._buckets.popitem(last=False)
        if not allowed:
            raise TooManyRequests(
                self._detail,
                code=self._code,
                retry_after=max(1, round((1 - tokens) / self._rate)),
            )

    def give_back(self, key: str) -> None:
        """Put a token that was taken back."""
        with self._lock:
            found = self._buckets.get(key)
            if found is not None:
                self._buckets[key] = (min(self._burst, found[0] + 1), found[1])
