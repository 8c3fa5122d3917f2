"""A token bucket per key; each API process has its own, so the limit is per process."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from core.errors import TooManyRequests

MAX_KEYS = 10_000


class RateLimit:
    """Allows ``per_minute`` requests a minute and key, in bursts of up to a sixth of it."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_minute / 60
        self._burst = max(1.0, per_minute / 6)
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
                "Too many requests with this key",
                code="rate_limited",
                retry_after=max(1, round((1 - tokens) / self._rate)),
            )
