"""A few places that tenants take in turn, without a thread for those who wait."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core.errors import Unavailable

RETRY_SECONDS = 2


class FairPlaces:
    """Lets ``places`` callers in at once; of those who wait, each tenant has one let in by turns.

    Unavailable ``busy`` for a tenant with ``most_waiting`` waiting already, and for who has waited
    ``seconds``. Used by one event loop.
    """

    def __init__(self, places: int, most_waiting: int, seconds: float) -> None:
        self._free = places
        self._most_waiting = most_waiting
        self._seconds = seconds
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def place(self, tenant_id: str) -> AsyncIterator[None]:
        """Hold a place for a tenant, once there is one."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(tenant_id)
        try:
            yield
        finally:
            self._hand_on()

    async def _wait(self, tenant_id: str) -> None:
        queue = self._waiting.setdefault(tenant_id, deque())
        if len(queue) >= self._most_waiting:
            raise _busy(f"{len(queue)} requests of yours wait already")
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            async with asyncio.timeout(self._seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._hand_on()  # the place came in the moment in which this gave up
            elif turn in queue:
                queue.remove(turn)
            if isinstance(error, TimeoutError):
                raise _busy(f"None was free for {self._seconds:g} s") from None
            raise

    def _hand_on(self) -> None:
        """Give a place to the tenant whose turn it is; it waits behind all others then."""
        while self._waiting:
            tenant_id = next(iter(self._waiting))
            queue = self._waiting.pop(tenant_id)
            while queue:
                turn = queue.popleft()
                if not turn.done():
                    turn.set_result(None)
                    if queue:
                        self._waiting[tenant_id] = queue
                    return
        self._free += 1


def _busy(why: str) -> Unavailable:
    return Unavailable(
        f"All places for this work are taken. {why}; ask again soon",
        code="busy",
        retry_after=RETRY_SECONDS,
    )
