"""Health check of a worker container: ``python -m worker.health``; exit code 0 is healthy.

Unhealthy: this host has not reported itself lately, or due jobs of its queues have waited long
while it claims nothing. ``celery inspect ping`` would say neither.
"""

from __future__ import annotations

import socket
import sys

from sqlalchemy import func, select

from core.db.models import Job, Worker
from core.db.repositories.jobs import NOW, seconds_from_now
from core.db.session import sessions
from core.jobs.states import JobStatus

SILENT_SECONDS = 60.0
IDLE_SECONDS = 300.0


def problem() -> str | None:
    """Return what is wrong with this host's workers, or None."""
    with sessions()() as session:
        workers = session.scalars(
            select(Worker).where(
                Worker.host == socket.gethostname(),
                Worker.last_seen > seconds_from_now(-SILENT_SECONDS),
            )
        ).all()
        if not workers:
            return f"no worker of this host has reported for {SILENT_SECONDS:g} s"
        queues = sorted({queue for worker in workers for queue in worker.queues})
        waiting = session.scalar(
            select(func.count())
            .select_from(Job)
            .where(
                Job.queue.in_(queues),
                Job.status == JobStatus.QUEUED,
                Job.pending_children == 0,
                Job.available_at < seconds_from_now(-IDLE_SECONDS),
            )
        )
        running = session.scalar(
            select(func.count())
            .select_from(Job)
            .where(
                Job.status == JobStatus.RUNNING,
                Job.lease_expires_at > NOW,
                Job.worker_id.startswith(f"{socket.gethostname()}:"),
            )
        )
    if waiting and not running:
        return f"idle while {waiting} due jobs wait on {', '.join(queues)}"
    return None


def main() -> None:
    wrong = problem()
    if wrong is not None:
        sys.exit(wrong)


if __name__ == "__main__":
    main()
