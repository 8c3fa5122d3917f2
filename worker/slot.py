"""One slot of a worker: a pool process that runs one job after the other."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Sequence

from sqlalchemy.exc import OperationalError

from core.config import get_settings
from core.db.repositories import jobs
from core.db.session import forget_engine, sessions
from core.jobs.spec import JOB_KINDS, Profile
from core.processes import die_with_parent
from core.services.hints import forget_producer
from core.services.transaction import transaction
from worker.drain import draining
from worker.nursery import Nursery
from worker.supervisor import Supervisor

log = logging.getLogger(__name__)


def profile_of(queues: Sequence[str]) -> Profile:
    """Return what the zygote of a slot preloads: torch if any kind that may come here wants it."""
    wanted = {
        kind.profile for _, kind in JOB_KINDS if kind.queue in queues or kind.queue_for is not None
    }
    return "torch" if "torch" in wanted else "light"


class Slot:
    """Claims and supervises; owns one zygote."""

    def __init__(self, queues: Sequence[str]) -> None:
        self.worker_id = f"{socket.gethostname()}:{os.getpid()}"
        self.nursery = Nursery(profile_of(queues))
        self.nursery.open()

    def run(self, job_id: str) -> None:
        """Follow a hint: run the job if it is there, due and nobody else's."""
        if draining():
            return  # the job stays queued, another worker gets its hint
        settings = get_settings()
        try:
            with transaction(sessions()) as session:
                job = jobs.claim(session, job_id, self.worker_id, settings.lease_seconds)
                if job is not None:
                    jobs.add_event(
                        session, job.id, "started",
                        {"attempt": job.attempt, "worker": self.worker_id},
                    )  # fmt: skip
        except OperationalError as error:
            log.warning("the database is away, the hint for %s is dropped: %s", job_id, error)
            return
        if job is not None:
            Supervisor(job, self.nursery, sessions(), settings).run()


_slot: Slot | None = None


def open_slot(queues: Sequence[str]) -> None:
    """Open this process's slot, right after the fork from the worker's main process."""
    global _slot  # noqa: PLW0603 - one slot a process
    die_with_parent(os.getppid())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    forget_engine()
    forget_producer()
    _slot = Slot(queues)


def close_slot() -> None:
    """End the slot's zygote."""
    if _slot is not None:
        _slot.nursery.close()


def the_slot() -> Slot:
    """Return this process's slot."""
    if _slot is None:
        raise RuntimeError("this process has no slot: the Celery pool must be prefork")
    return _slot
