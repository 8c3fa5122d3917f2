"""One answer for all who ask at once, and for those who ask within a moment after it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from starlette.concurrency import run_in_threadpool

T = TypeVar("T")


class SharedAnswer(Generic[T]):
    """Asks ``probe`` in a thread, once at a time; what it said holds for ``seconds``."""

    def __init__(
        self,
        probe: Callable[[], T],
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._probe = probe
        self._seconds = seconds
        self._clock = clock
        self._asked: asyncio.Task[T] | None = None
        self._until = float("-inf")

    async def get(self) -> T:
        """Return what the probe says; its error passes to all who wait, and is not kept."""
        if self._asked is None or (self._asked.done() and self._clock() >= self._until):
            self._until = float("-inf")
            self._asked = asyncio.create_task(self._ask())
        # of a caller that goes away, the others still want the answer
        return await asyncio.shield(self._asked)

    async def _ask(self) -> T:
        answer = await run_in_threadpool(self._probe)
        self._until = self._clock() + self._seconds
        return answer
