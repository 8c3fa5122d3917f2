"""Events of all watched jobs: one query per poll and process, however many clients listen."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from core.db.repositories.job_queries import EventRow, events_of_many
from core.db.session import reads
from core.jobs.states import TERMINAL
from core.services.job_view import stamp

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 15.0
BATCH = 500
"""Events of one job that one poll fetches at most; also the bound of a listener's queue."""
ERROR_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who listens: the id of the key or session, and whether it would be let in now."""

    id: str
    allowed: Callable[[], Awaitable[bool]]


@dataclass(eq=False, slots=True)
class Listener:
    """One client and the number of the last event that it was given."""

    job_id: str
    seq: int
    caller_id: str = ""
    is_cut: bool = False
    queue: asyncio.Queue[EventRow | None] = field(default_factory=asyncio.Queue)


class EventHub:
    """Polls while anybody listens; holds no connection in between."""

    def __init__(self, poll_seconds: float, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> None:
        self.heartbeat_seconds = heartbeat_seconds
        self._poll_seconds = poll_seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None

    def count(self) -> int:
        """Return how many clients follow events, or wait for an end, through this process."""
        return len(self._listeners)

    @contextmanager
    def listen(self, job_id: str, after: int, caller_id: str = "") -> Iterator[Listener]:
        """Register a listener for the events of a job after number ``after``."""
        listener = Listener(job_id, after, caller_id)
        self._loop = asyncio.get_running_loop()
        self._listeners.add(listener)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(
                self._run(),
                name="event-hub",
                context=Context(),  # it serves all, not the request that happened to start it
            )
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    async def stream(
        self, job_id: str, after: int, caller: Caller | None = None
    ) -> AsyncIterator[EventRow | None]:
        """Yield events up to the one that ends the job; None after each silence.

        Ends as well when ``caller``, who is asked after at each heartbeat, is no longer let in.
        """
        with self.listen(job_id, after, caller.id if caller else "") as listener:
            beat = time.monotonic() + self.heartbeat_seconds
            while True:
                left = max(0.0, beat - time.monotonic())
                try:
                    event = await asyncio.wait_for(listener.queue.get(), left)
                except TimeoutError:
                    event = None
                if time.monotonic() >= beat:
                    if caller is not None and not await caller.allowed():
                        return
                    beat = time.monotonic() + self.heartbeat_seconds
                if listener.is_cut:
                    return
                yield event
                if event is not None and event.type in TERMINAL:
                    return

    def cut(self, caller_id: str) -> None:
        """End the streams of a key or session that has just been revoked; from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._cut, caller_id)

    def _cut(self, caller_id: str) -> None:
        for listener in self._listeners:
            if listener.caller_id == caller_id:
                listener.is_cut = True
                listener.queue.put_nowait(None)  # it is to wake up

    async def ended(self, job_id: str, after: int, seconds: float) -> bool:
        """Wait for the end of a job; False when it takes longer than ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                async for _ in self.stream(job_id, after):
                    pass
        except TimeoutError:
            return False
        return True

    async def _run(self) -> None:
        while self._listeners:
            try:
                await self._poll()
            except SQLAlchemyError as error:
                log.warning("no events: %s", error)
                await asyncio.sleep(ERROR_PAUSE_SECONDS)
            await asyncio.sleep(self._poll_seconds)

    async def _poll(self) -> None:
        # a listener whose client does not read gets nothing more until it does
        ready: dict[str, list[Listener]] = defaultdict(list)
        for one in self._listeners:
            if one.queue.qsize() < BATCH:
                ready[one.job_id].append(one)
        if not ready:
            return
        after = {job_id: min(one.seq for one in group) for job_id, group in ready.items()}
        for event in await run_in_threadpool(_fetch, after):
            for one in ready[event.job_id]:
                if event.seq > one.seq:
                    one.seq = event.seq
                    one.queue.put_nowait(event)


def _fetch(after: dict[str, int]) -> list[EventRow]:
    with reads()() as session:
        return events_of_many(session, after, BATCH)


def as_sse(event: EventRow | None) -> str:
    """Return one message of a text/event-stream; a comment for silence."""
    if event is None:
        return ": still here\n\n"
    data = json.dumps(
        {"seq": event.seq, "type": event.type, "data": event.data, "at": stamp(event.at)}
    )
    return f"id: {event.seq}\nevent: {event.type}\ndata: {data}\n\n"
