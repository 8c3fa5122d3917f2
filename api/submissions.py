"""Submissions of one moment are one transaction, each with an answer of its own.

A transaction costs the interpreter and the database several times what one more row in it costs.
While one is under way the submissions that arrive wait, and are the next one together: the busier
the service, the less each costs (group commit; DeWitt et al., Implementation techniques for main
memory database systems, SIGMOD 1984).
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from api.fair_places import FairPlaces, busy
from api.job_links import accepted
from core.config import get_settings
from core.db.repositories.jobs import be_brief
from core.db.repositories.new_jobs import Written
from core.db.session import sessions
from core.errors import DermSynthError
from core.jobs.spec import JobKind, Params
from core.services import job_view, predictions
from core.services.idempotency import Answer, Once, begin, in_progress, keep
from core.services.principal import Principal
from core.services.submit import Prepared, prepare, write
from core.services.transaction import transaction

TOGETHER, TOGETHER_BYTES = 32, 1024**2
"""Submissions in one transaction, and the bytes of bodies from which on no other joins them."""
WRITERS = 2
"""Transactions of several submissions that a tenant has at once."""
LOCK_SECONDS = 0.1
"""Several wait no longer for what one of them needs; that one then waits alone."""
IDLE_SECONDS = 10.0
"""A writer that is frozen keeps its locks no longer from the others; nor longer than a lease."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A job that a caller asks for; ``size``: bytes of its body.

    ``context``: what its log lines and spans belong to.
    """

    principal: Principal
    kind: JobKind[Any, Any]
    params: Params
    labels: Sequence[str]
    wish: Once | None
    size: int = 0
    context: Context = field(default_factory=copy_context)


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    submission: Submission
    answer: asyncio.Future[Answer]

    def tell(self, outcome: Answer | Exception) -> None:
        if self.answer.done():  # the caller went away
            return
        if isinstance(outcome, Exception):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)


class Submissions:
    """Writes what is submitted, tenants by turns; used by one event loop.

    Unavailable ``busy`` for a tenant with ``most_waiting`` submissions waiting already, and for one
    whose writing has not begun within ``seconds``.
    """

    def __init__(self, places: int, most_waiting: int, seconds: float) -> None:
        self._places = FairPlaces(places)
        self._most_waiting = most_waiting
        self._seconds = seconds
        self._waiting: dict[str, deque[_Waiting]] = {}
        self._writing: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(self, submission: Submission) -> Answer:
        """Return what a submission is answered, once it is written or known from before."""
        tenant_id = submission.principal.tenant_id
        queue = self._waiting.setdefault(tenant_id, deque())
        if len(queue) >= self._most_waiting:
            raise busy(f"{len(queue)} requests of yours wait already")
        loop = asyncio.get_running_loop()
        one = _Waiting(submission, loop.create_future())
        queue.append(one)
        self._begin_writing(tenant_id, queue)
        patience = loop.call_later(self._seconds, _give_up, queue, one, self._seconds)
        try:
            return await one.answer
        finally:
            patience.cancel()

    def _begin_writing(self, tenant_id: str, queue: deque[_Waiting]) -> None:
        if self._writing[tenant_id] < WRITERS:
            self._writing[tenant_id] += 1
            self._spawn(self._write(tenant_id, queue))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        # in no context: what a writer does belongs to many requests
        task = asyncio.create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write(self, tenant_id: str, queue: deque[_Waiting]) -> None:
        while queue:
            await self._write_those(tenant_id, lambda: _front(queue))
        # at once: who comes later must find either this writer or none
        self._writing[tenant_id] -= 1
        if not self._writing[tenant_id]:
            del self._writing[tenant_id]
            del self._waiting[tenant_id]

    async def _write_those(self, tenant_id: str, take: Callable[[], list[_Waiting]]) -> None:
        """Write what is there once there is a place; tell each of them how that ended."""
        async with self._places.place(tenant_id):
            those = take()
            try:
                await _write_together(those)
            except Exception as error:
                if len(those) == 1 or _in_doubt(error):
                    for one in those:
                        one.tell(error)
                    return
                for one in those:  # the others are not to suffer, nor to wait, for the one at fault
                    self._spawn(self._write_those(tenant_id, partial(list, [one])))


def _front(queue: deque[_Waiting]) -> list[_Waiting]:
    """Take from a queue what is written next; those whose caller went away are nowhere."""
    taken: list[_Waiting] = []
    size = 0
    while queue and len(taken) < TOGETHER and size < TOGETHER_BYTES:
        one = queue.popleft()
        if not one.answer.done():
            taken.append(one)
            size += one.submission.size
    return taken


def _give_up(queue: deque[_Waiting], one: _Waiting, seconds: float) -> None:
    if one in queue:
        queue.remove(one)
        one.tell(busy(f"Writing it had not begun after {seconds:g} s"))


def _in_doubt(error: Exception) -> bool:
    """Tell whether a transaction may stand although it failed: the database did not answer."""
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or getattr(error.orig, "sqlstate", None) is None
    )


async def _write_together(those: Sequence[_Waiting]) -> None:
    outcomes = await run_in_threadpool(written, [one.submission for one in those])
    for one, outcome in zip(those, outcomes, strict=True):
        one.tell(outcome)


def written(submissions: Sequence[Submission]) -> list[Answer | DermSynthError]:
    """Write submissions of one tenant in one transaction; return the answer of each.

    Other errors than ours are those of one, and with it of all: nothing is kept.
    """
    found: list[Answer | DermSynthError | Prepared] = []
    try:
        with transaction(sessions()) as session:
            if len(submissions) > 1:
                be_brief(session, LOCK_SECONDS, min(IDLE_SECONDS, get_settings().lease_seconds))
            keys: set[str] = set()
            found += [one.context.run(_begun, session, one, keys) for one in submissions]
            return _kept(session, submissions, found)
    except DermSynthError as error:  # of all that are new: of them nothing is kept
        return [error if isinstance(one, Prepared) else one for one in found]


def _begun(
    session: Session, submission: Submission, keys: set[str]
) -> Answer | DermSynthError | Prepared:
    principal, wish = submission.principal, submission.wish
    try:
        if wish is not None:
            if wish.key in keys:  # the lock of the first does not keep out its own transaction
                raise in_progress()
            keys.add(wish.key)
        if (known := begin(session, principal, wish)) is not None:
            return known
        predictions.check_visible(session, principal, submission.kind.name, submission.params)
        return prepare(session, principal, submission.kind, submission.params, submission.labels)
    except DermSynthError as error:
        return error


def _kept(
    session: Session,
    submissions: Sequence[Submission],
    found: Sequence[Answer | DermSynthError | Prepared],
) -> list[Answer | DermSynthError]:
    new = [one for one in found if isinstance(one, Prepared)]
    outcomes = write(session, new) if new else {}
    told: list[Answer | DermSynthError] = []
    for submission, one in zip(submissions, found, strict=True):
        outcome = outcomes[one.job.id] if isinstance(one, Prepared) else one
        if isinstance(outcome, Written):
            outcome = accepted(job_view.written(outcome))
            keep(session, submission.principal, submission.wish, outcome)
        told.append(outcome)
    return told
