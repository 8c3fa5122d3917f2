"""How jobs end, come back and are called off; every function works on locked rows."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from core.config import get_settings
from core.db.models import Job
from core.db.repositories import jobs
from core.errors import ChildFailed, Conflict, DermSynthError, JobCancelled, NotFound, WorkerLost
from core.jobs.states import TERMINAL, JobStatus, may_move
from core.services.transaction import want_hint
from core.services.webhook_outbox import announce


def move(job: Job, status: JobStatus) -> None:
    """Set a job's state; a move that the table does not allow is a programming error."""
    if not may_move(JobStatus(job.status), status):
        raise RuntimeError(f"{job.id} cannot go from {job.status} to {status}")
    job.status = status


def end(
    session: Session,
    job: Job,
    status: JobStatus,
    *,
    result: dict[str, Any] | None = None,
    error: dict[str, Any] | None = None,
) -> None:
    """End a locked job (its ancestors are locked too) and tell its parent."""
    move(job, status)
    job.result, job.error = result, error
    job.lease_token = job.lease_expires_at = job.worker_id = None
    job.checkpoint = None
    job.finished_at = jobs.database_now(session)
    job.phase = status
    if status == JobStatus.SUCCEEDED:
        job.progress_current = job.progress_total
    session.flush()
    jobs.add_event(session, job.id, status, {"error": error} if error else {})
    if job.parent_id is None:
        announce(session, job)
    else:
        _child_ended(session, job)


def fail(session: Session, job: Job, error: DermSynthError) -> None:
    """End a locked job as failed, with the problem as its error."""
    end(session, job, JobStatus.FAILED, error=error.as_problem())


def end_canceled(session: Session, job: Job) -> None:
    """End a locked job that was called off."""
    end(session, job, JobStatus.CANCELED, error=JobCancelled("Canceled").as_problem())


def _child_ended(session: Session, child: Job) -> None:
    parent = jobs.lock(session, str(child.parent_id))
    if parent is None or parent.status in TERMINAL:
        return
    parent.pending_children -= 1
    unhappy = child.status != JobStatus.SUCCEEDED
    if unhappy and parent.error is None and parent.cancel_requested_at is None:
        parent.error = _child_failed(child).as_problem()
        session.flush()
        for sibling in jobs.unfinished_children(session, parent.id):
            cancel_tree(session, sibling)
        session.refresh(parent)
    session.flush()
    if parent.pending_children == 0 and parent.status == JobStatus.RUNNING:
        _children_done(session, parent)


def _child_failed(child: Job) -> ChildFailed:
    cause = child.error or {}
    return ChildFailed(
        f"{child.kind} {child.id} {child.status}: {cause.get('detail', 'no detail')}",
        extra={"child_id": child.id, "cause": cause or None},
    )


def _children_done(session: Session, parent: Job) -> None:
    if parent.cancel_requested_at is not None:
        end_canceled(session, parent)
    elif parent.error is not None:
        end(session, parent, JobStatus.FAILED, error=parent.error)
    else:
        requeue(session, parent, reason="children_done", counted=False, delay=0.0)


def requeue(session: Session, job: Job, *, reason: str, counted: bool, delay: float) -> None:
    """Put a locked running job back into its queue, after ``delay`` seconds.

    One that was called off meanwhile ends instead: nobody need ever claim it again.
    """
    if job.cancel_requested_at is not None:
        end_canceled(session, job)
        return
    move(job, JobStatus.QUEUED)
    job.lease_token = job.lease_expires_at = job.worker_id = None
    job.uncounted = not counted
    job.phase = "queued"
    job.available_at = jobs.seconds_from_now(delay)
    # without one, the reaper sends a hint as soon as the job is due
    job.hinted_at = jobs.NOW if delay == 0 else None
    session.flush()
    session.refresh(job)
    jobs.add_event(session, job.id, "requeued", {"reason": reason, "delay_seconds": delay})
    if delay == 0:
        want_hint(session, job.id, job.queue)


def lose(session: Session, job: Job, error: DermSynthError) -> None:
    """A locked running job lost its worker: another attempt, or the end after the last one."""
    if job.attempt >= job.max_attempts and job.cancel_requested_at is None:
        fail(session, job, error)
    else:
        requeue(session, job, reason=error.code, counted=True, delay=backoff(job.attempt))


def backoff(attempt: int) -> float:
    """Return the seconds before the attempt after ``attempt``: doubling, bounded."""
    settings = get_settings()
    doubled: float = settings.backoff_seconds * 2 ** max(0, attempt - 1)
    return min(settings.backoff_max_seconds, doubled)


def cancel(session: Session, job_id: str) -> Job:
    """Call off a job and all its children; Conflict when it has succeeded or failed."""
    job = jobs.lock_with_ancestors(session, job_id)
    if job is None:
        raise NotFound(f"There is no job {job_id}", code="job_not_found")
    if job.status in (JobStatus.SUCCEEDED, JobStatus.FAILED):
        raise Conflict(f"The job has already {job.status}", code="job_already_ended")
    cancel_tree(session, job)
    session.flush()
    session.refresh(job)
    return job


def cancel_tree(session: Session, job: Job) -> None:
    """Call off a locked job: at once when nothing runs, else by flag that its worker reads."""
    session.refresh(job)
    if job.status in TERMINAL:
        return
    if job.cancel_requested_at is None:
        job.cancel_requested_at = jobs.database_now(session)
        session.flush()
        jobs.add_event(session, job.id, "cancel_requested", {})
    if job.status == JobStatus.QUEUED:
        end_canceled(session, job)
    elif job.pending_children > 0:
        for child in jobs.unfinished_children(session, job.id):
            cancel_tree(session, child)


def reap(session: Session, job_id: str) -> bool:
    """Take a job from a worker that has gone silent; False when it is not expired any more."""
    job = jobs.lock_with_ancestors(session, job_id)
    if job is None or job.status != JobStatus.RUNNING or job.lease_expires_at is None:
        return False
    if job.lease_expires_at >= jobs.database_now(session):
        return False
    lose(session, job, WorkerLost(f"Worker {job.worker_id} stopped renewing its lease"))
    return True


def recount_children(session: Session, job_id: str) -> None:
    """Count a waiting parent's unfinished children anew; without any, the parent goes on."""
    parent = jobs.lock_with_ancestors(session, job_id)
    if parent is None:
        return
    parent.pending_children = len(jobs.unfinished_children(session, job_id))
    session.flush()
    waits = parent.status == JobStatus.RUNNING and parent.lease_token is None
    if parent.pending_children == 0 and waits:
        _children_done(session, parent)
