"""A few places that tenants take in turn, without a thread for those who wait."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core.errors import Unavailable

RETRY_SECONDS = 2


class FairPlaces:
    """Lets ``places`` callers in at once; of those who wait, each tenant has one let in by turns.

    One of several places is always left for other tenants: however long the work of one takes, all
    others have somewhere to go. Unavailable ``busy`` for a tenant with ``most_waiting`` waiting
    already, and for who has waited ``seconds``. Used by one event loop.
    """

    def __init__(
        self, places: int, most_waiting: float = math.inf, seconds: float | None = None
    ) -> None:
        self._free = places
        self._most_held = max(1, places - 1)
        self._most_waiting = most_waiting
        self._seconds = seconds
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def place(self, tenant_id: str) -> AsyncIterator[None]:
        """Hold a place for a tenant, once there is one."""
        if self._may_enter(tenant_id):
            self._enter(tenant_id)
        else:
            await self._wait(tenant_id)
        try:
            yield
        finally:
            self._leave(tenant_id)

    def _may_enter(self, tenant_id: str) -> bool:
        return self._free > 0 and self._held[tenant_id] < self._most_held

    def _enter(self, tenant_id: str) -> None:
        self._free -= 1
        self._held[tenant_id] += 1

    def _leave(self, tenant_id: str) -> None:
        self._free += 1
        self._held[tenant_id] -= 1
        if not self._held[tenant_id]:
            del self._held[tenant_id]
        self._hand_on()

    async def _wait(self, tenant_id: str) -> None:
        queue = self._waiting.setdefault(tenant_id, deque())
        if len(queue) >= self._most_waiting:
            raise busy(f"{len(queue)} requests of yours wait already")
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            async with asyncio.timeout(self._seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._leave(tenant_id)  # the place came in the moment in which this gave up
            elif turn in queue:
                queue.remove(turn)
            if isinstance(error, TimeoutError):
                raise busy(f"None was free for {self._seconds:g} s") from None
            raise

    def _hand_on(self) -> None:
        """Give a free place to the tenant whose turn it is; it waits behind all others then."""
        for tenant_id in list(self._waiting):
            if not self._may_enter(tenant_id):
                continue
            queue = self._waiting.pop(tenant_id)
            while queue and queue[0].done():  # gave up
                queue.popleft()
            if queue:
                self._enter(tenant_id)
                queue.popleft().set_result(None)
            if queue:
                self._waiting[tenant_id] = queue


def busy(why: str) -> Unavailable:
    """Return the refusal of work for which there is no place."""
    return Unavailable(
        f"All places for this work are taken. {why}; ask again soon",
        code="busy",
        retry_after=RETRY_SECONDS,
    )
