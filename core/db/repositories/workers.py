"""What workers report of themselves, and whether those of a host do their work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.db.models import Job, Worker
from core.db.repositories.jobs import NOW, seconds_from_now
from core.jobs.states import JobStatus


def report(session: Session, row: Mapping[str, Any], changing: Sequence[str]) -> None:
    """Write a worker's row, or renew those of its columns that change, and when it was seen."""
    now = {name: row[name] for name in changing}
    session.execute(
        insert(Worker)
        .values(**row)
        .on_conflict_do_update(index_elements=[Worker.id], set_={"last_seen": NOW, **now})
    )


def forget_silent(session: Session, seconds: float) -> None:
    """Remove the workers that have said nothing for so long."""
    silent = func.coalesce(Worker.last_seen, NOW) < seconds_from_now(-seconds)
    session.execute(delete(Worker).where(silent))


def queues_of_host(session: Session, host: str, seconds: float) -> list[str] | None:
    """Return the queues of a host's workers, sorted; None when none has reported for so long."""
    workers = session.scalars(
        select(Worker).where(Worker.host == host, Worker.last_seen > seconds_from_now(-seconds))
    ).all()
    return sorted({queue for worker in workers for queue in worker.queues}) if workers else None


def count_waiting(session: Session, queues: Sequence[str], seconds: float) -> int:
    """Return how many jobs of these queues have been due for so long."""
    waiting = session.scalar(
        select(func.count())
        .select_from(Job)
        .where(
            Job.queue.in_(queues),
            Job.status == JobStatus.QUEUED,
            Job.pending_children == 0,
            Job.available_at < seconds_from_now(-seconds),
        )
    )
    return waiting or 0


def count_running(session: Session, host: str) -> int:
    """Return how many jobs the workers of a host hold."""
    running = session.scalar(
        select(func.count())
        .select_from(Job)
        .where(
            Job.status == JobStatus.RUNNING,
            Job.lease_expires_at > NOW,
            Job.worker_id.startswith(f"{host}:"),
        )
    )
    return running or 0
