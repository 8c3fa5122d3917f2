"""One slot of a worker: a pool process that runs one job after the other."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy.exc import OperationalError

from core import logs, tracing
from core.config import Settings, get_settings
from core.cores import threads_of_a_slot
from core.db.models import Job
from core.db.repositories import jobs
from core.db.session import forget_engine, sessions
from core.jobs.spec import JOB_KINDS, Profile
from core.processes import die_with_parent
from core.services.hints import forget_producer
from core.services.transaction import transaction
from core.tracing import span
from worker.drain import begin_in_slot, draining, told_in_slot
from worker.nursery import Nursery
from worker.supervisor import Supervisor

log = logging.getLogger(__name__)


def profile_of(queues: Sequence[str]) -> Profile:
    """Return what the zygote of a slot preloads: torch if any kind that may come here wants it."""
    wanted = {kind.profile for _, kind in JOB_KINDS if set(kind.queues) & set(queues)}
    return "torch" if "torch" in wanted else "light"


class Slot:
    """Claims and supervises; owns one zygote."""

    def __init__(self, queues: Sequence[str], threads: int) -> None:
        self._queues = queues
        self._threads = threads
        self.worker_id = f"{socket.gethostname()}:{os.getpid()}"
        self.nursery = Nursery(profile_of(queues))
        self.nursery.open()

    def run(self, job_id: str) -> None:
        """Follow a hint: run the job if it is there, due and nobody else's; then what is due next.

        A hint thus wakes a slot, and no job waits for its own while any slot is awake.
        """
        with _sigterm_drains():
            self._claim_and_supervise(job_id)
            while self._claim_and_supervise():
                pass

    def _claim_and_supervise(self, job_id: str | None = None) -> bool:
        """Run this job, or the next; False without one to claim, or when this worker drains."""
        if draining():  # else the job stays queued, another worker gets its hint
            return False
        settings = get_settings()
        who = (self._queues, self.worker_id, settings.lease_seconds)
        began = time.time_ns()
        try:
            with transaction(sessions()) as session:
                if job_id is None:
                    job = jobs.claim_next(session, *who)
                else:
                    job = jobs.claim(session, job_id, *who)
                if job is not None:
                    jobs.add_event(
                        session, job.id, "started",
                        {"attempt": job.attempt, "worker": self.worker_id},
                    )  # fmt: skip
        except OperationalError as error:
            log.warning("the database is away, a hint is dropped: %s", error)
            return False
        if job is not None:
            self._supervise(job, settings, began)
        return job is not None

    def _supervise(self, job: Job, settings: Settings, began: int) -> None:
        origin = job.origin or {}
        parent = origin.get("traceparent")
        about: dict[str, str | int] = {"job_id": job.id, "attempt": job.attempt, "kind": job.kind}
        with logs.about(request_id=origin.get("request_id"), **about):
            with span("job.claim", parent=parent, began_ns=began, about=about):
                log.info("claimed, attempt %d of %s", job.attempt, job.kind)
            with span("job.run", parent=parent, about=about):
                Supervisor(job, self.nursery, sessions(), settings, self._threads).run()


@contextmanager
def _sigterm_drains() -> Iterator[None]:
    """Have SIGTERM give the job back first, and end this process afterwards.

    An init system signals every process of a service, and Celery's pool ends a slot so.
    """
    before = signal.signal(signal.SIGTERM, lambda *_: begin_in_slot())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if told_in_slot():
            signal.raise_signal(signal.SIGTERM)


_slot: Slot | None = None


def open_slot(queues: Sequence[str], slots: int) -> None:
    """Open this process's slot, one of ``slots``, right after the fork from the main process."""
    global _slot  # noqa: PLW0603 - one slot a process
    die_with_parent(os.getppid())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    forget_engine()
    forget_producer()
    tracing.start("dermsynth-worker", get_settings())
    _slot = Slot(queues, get_settings().threads or threads_of_a_slot(slots))


def close_slot() -> None:
    """End the slot's zygote."""
    if _slot is not None:
        _slot.nursery.close()
    tracing.stop()


def the_slot() -> Slot:
    """Return this process's slot."""
    if _slot is None:
        raise RuntimeError("this process has no slot: the Celery pool must be prefork")
    return _slot
