"""Thumbnails that could not be made a moment ago: nobody tries again for a while."""

from __future__ import annotations

import time
from collections.abc import Callable

from core.ingest.rejects import Rejected

MOST = 10_000


class KnownFailures:
    """Remembers for ``seconds`` why things failed. Used by one event loop."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._reasons: dict[str, tuple[float, Rejected]] = {}
        """The oldest first."""

    def find(self, name: str) -> Rejected | None:
        """Return why a thing failed; None when it may be tried."""
        until, reason = self._reasons.get(name, (0.0, None))
        return reason if self._clock() < until else None

    def keep(self, name: str, reason: Rejected) -> None:
        """Remember why a thing failed, without what the error holds of where it was raised."""
        self._reasons.pop(name, None)
        while self._reasons:
            oldest = next(iter(self._reasons))
            if len(self._reasons) < MOST and self._clock() < self._reasons[oldest][0]:
                break
            del self._reasons[oldest]
        self._reasons[name] = (self._clock() + self._seconds, Rejected(reason.code, reason.detail))
