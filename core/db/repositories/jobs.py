"""SQL of the queue of record: claim, lease, events, and the locks that keep trees consistent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Integer,
    and_,
    cast,
    func,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.db.models import Artifact, Job, JobEvent
from core.ids import new_id
from core.jobs.states import TERMINAL, JobStatus

NOW = func.clock_timestamp()


def seconds_from_now(seconds: float | BindParameter[float]) -> Any:
    """Return the SQL of a time on the database's clock."""
    return NOW + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def claim(
    session: Session, job_id: str, queues: Sequence[str], worker_id: str, lease_seconds: float
) -> Job | None:
    """Take a job for one attempt; None when another has it, it is not due or of no such queue."""
    return _claim(session, and_(Job.id == job_id, _due(queues)), worker_id, lease_seconds)


def claim_next(
    session: Session, queues: Sequence[str], worker_id: str, lease_seconds: float
) -> Job | None:
    """Take the due job of these queues that was submitted first; None without any."""
    heads = [
        select(Job.id)
        .where(_due([queue]))
        .order_by(Job.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
        for queue in queues
    ]
    return _claim(session, Job.id == func.least(*heads), worker_id, lease_seconds)


def overlooked(session: Session, queues: Sequence[str], age_seconds: float) -> bool:
    """Tell whether a job of the queues has been due for longer than so long."""
    found = session.scalar(select(Job.id).where(_due(queues, age_seconds)).limit(1))
    return found is not None


def busy_slots(session: Session, worker_ids: Sequence[str]) -> set[str]:
    """Return which of these slots hold a lease."""
    held = select(Job.worker_id).where(
        Job.status == JobStatus.RUNNING, Job.lease_expires_at > NOW, Job.worker_id.in_(worker_ids)
    )
    return {slot for slot in session.scalars(held) if slot is not None}


def _due(queues: Sequence[str] | None = None, for_seconds: float = 0.0) -> ColumnElement[bool]:
    return and_(
        true() if queues is None else Job.queue.in_(queues),
        Job.status == JobStatus.QUEUED,
        Job.pending_children == 0,
        Job.available_at <= seconds_from_now(-for_seconds),
    )


def _claim(
    session: Session, wanted: ColumnElement[bool], worker_id: str, lease_seconds: float
) -> Job | None:
    statement = (
        update(Job)
        .where(wanted)
        .values(
            status=JobStatus.RUNNING,
            attempt=Job.attempt + cast(~Job.uncounted, Integer),
            claims=Job.claims + 1,
            uncounted=False,
            lease_token=new_id("req"),
            lease_expires_at=seconds_from_now(lease_seconds),
            worker_id=worker_id,
            started_at=func.coalesce(Job.started_at, NOW),
            phase="starting",
            phase_started_at=NOW,
            progress_current=0,
            progress_total=1,
        )
        .returning(Job)
        .execution_options(populate_existing=True)
    )
    return session.scalar(statement)


@dataclass(frozen=True, slots=True)
class Lease:
    """Which claim of which job a worker holds."""

    job_id: str
    token: str


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat reads back."""

    cancel_requested: bool


def renew(
    session: Session,
    lease: Lease,
    lease_seconds: float,
    progress: tuple[str, float, float] | None,
) -> Beat | None:
    """Renew a lease, write progress and read the cancel flag; None when the lease is lost."""
    values: dict[str, Any] = {"lease_expires_at": seconds_from_now(lease_seconds)}
    if progress is not None:
        phase, current, total = progress
        values |= {"phase": phase, "progress_current": current, "progress_total": total}
    row = session.execute(
        update(Job)
        .where(*_held(lease))
        .values(**values)
        .returning(Job.cancel_requested_at)
        .execution_options(synchronize_session=False)
    ).first()
    return None if row is None else Beat(cancel_requested=row[0] is not None)


def save_checkpoint(session: Session, lease: Lease, state: dict[str, Any]) -> bool:
    """Keep the state for a later attempt; False when the lease is lost."""
    found = session.execute(
        update(Job).where(*_held(lease)).values(checkpoint=state).returning(Job.id)
    )
    return found.first() is not None


def _held(lease: Lease) -> tuple[Any, ...]:
    return (
        Job.id == lease.job_id,
        Job.lease_token == lease.token,
        Job.status == JobStatus.RUNNING,
    )


def lock_with_ancestors(session: Session, job_id: str) -> Job | None:
    """Lock a job after all its ancestors, root first, so that no two transactions deadlock."""
    chain = [job_id]
    while parent := session.scalar(select(Job.parent_id).where(Job.id == chain[-1])):
        chain.append(parent)
    job = None
    for ancestor in reversed(chain):
        job = lock(session, ancestor)
    return job


def lock(session: Session, job_id: str) -> Job | None:
    """Lock one row and read it afresh."""
    return session.scalar(
        select(Job)
        .where(Job.id == job_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def lock_held(session: Session, lease: Lease) -> Job | None:
    """Lock the job of a lease and its ancestors; None when the lease is lost (stale)."""
    job = lock_with_ancestors(session, lease.job_id)
    if job is None or job.lease_token != lease.token or job.status != JobStatus.RUNNING:
        return None
    return job


def unfinished_children(session: Session, parent_id: str) -> list[Job]:
    """Lock and return the children that have not ended."""
    return list(
        session.scalars(
            select(Job)
            .where(Job.parent_id == parent_id, Job.status.not_in(TERMINAL))
            .order_by(Job.ordinal)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    )


def children(session: Session, parent_id: str) -> list[Job]:
    """Return all children of all rounds, in the order they were asked for."""
    return list(
        session.scalars(select(Job).where(Job.parent_id == parent_id).order_by(Job.ordinal))
    )


def artifacts_of(session: Session, job_ids: Sequence[str]) -> dict[str, list[Artifact]]:
    """Return the artifacts of several jobs, by job, oldest first."""
    found: dict[str, list[Artifact]] = {job_id: [] for job_id in job_ids}
    for row in session.scalars(
        select(Artifact).where(Artifact.job_id.in_(job_ids)).order_by(Artifact.id)
    ):
        found[row.job_id].append(row)
    return found


def add_event(session: Session, job_id: str, kind: str, data: dict[str, Any]) -> None:
    """Append an event; commit order is sequence order, because the job's row is locked."""
    _append(session, kind, data, Job.id == job_id)


def add_event_held(session: Session, lease: Lease, kind: str, data: dict[str, Any]) -> bool:
    """Append an event in the name of a lease; False, and nothing written, when it is lost."""
    return _append(session, kind, data, *_held(lease))


def _append(session: Session, kind: str, data: dict[str, Any], *where: Any) -> bool:
    row = session.execute(
        update(Job)
        .where(*where)
        .values(last_seq=Job.last_seq + 1)
        .returning(Job.id, Job.last_seq)
        .execution_options(synchronize_session=False)
    ).first()
    if row is None:
        return False
    session.execute(insert(JobEvent).values(job_id=row[0], seq=row[1], type=kind, data=data))
    return True


def events_after(session: Session, job_id: str, seq: int, limit: int) -> list[JobEvent]:
    """Return events with a higher number than ``seq``, oldest first."""
    return list(
        session.scalars(
            select(JobEvent)
            .where(JobEvent.job_id == job_id, JobEvent.seq > seq)
            .order_by(JobEvent.seq)
            .limit(limit)
        )
    )


def expired(session: Session, limit: int = 100) -> list[str]:
    """Return ids of running jobs whose lease has run out on the database's clock."""
    return list(
        session.scalars(
            select(Job.id)
            .where(Job.status == JobStatus.RUNNING, Job.lease_expires_at < NOW)
            .order_by(Job.lease_expires_at)
            .limit(limit)
        )
    )


def claims_of(session: Session, job_ids: Sequence[str]) -> dict[str, int | None]:
    """Return how often each of the jobs has been claimed; None for an ended one."""
    rows = session.execute(select(Job.id, Job.status, Job.claims).where(Job.id.in_(job_ids)))
    return {row.id: None if row.status in TERMINAL else row.claims for row in rows}


def due_by_queue(session: Session) -> dict[str, int]:
    """Return how many jobs wait to be claimed, by queue."""
    rows = session.execute(select(Job.queue, func.count()).where(_due()).group_by(Job.queue))
    return {row[0]: row[1] for row in rows}


def unhinted(
    session: Session, age_seconds: float, queues: Sequence[str], limit: int = 1000
) -> list[tuple[str, str]]:
    """Mark and return (id, queue) of due jobs without a hint, or with one older than so long."""
    old = seconds_from_now(-age_seconds)
    due = (
        select(Job.id)
        .where(_due(queues), or_(Job.hinted_at.is_(None), Job.hinted_at <= old))
        .order_by(Job.available_at, Job.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = session.execute(
        update(Job).where(Job.id.in_(due)).values(hinted_at=NOW).returning(Job.id, Job.queue)
    )
    return sorted((row[0], row[1]) for row in rows)


def seconds_to_next(session: Session) -> float | None:
    """Return when the next job's backoff is over, in seconds from now; None without any."""
    found = session.scalar(
        select(func.extract("epoch", func.min(Job.available_at) - NOW)).where(
            Job.status == JobStatus.QUEUED, Job.pending_children == 0, Job.available_at > NOW
        )
    )
    return None if found is None else float(found)


def try_advisory_lock(session: Session, key: str) -> bool:
    """Take a lock named by a text until the transaction ends; False when another holds it."""
    return bool(
        session.scalar(
            text("SELECT pg_try_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key}
        )
    )


def be_brief(session: Session, lock_seconds: float, idle_seconds: float) -> None:
    """Have a transaction wait for locks, and keep its own while it does nothing, only so long."""
    limits = text("""
        SELECT set_config('lock_timeout', :lock, true),
               set_config('idle_in_transaction_session_timeout', :idle, true)
    """)
    waits = {"lock": lock_seconds, "idle": idle_seconds}
    session.execute(limits, {name: f"{value:g}s" for name, value in waits.items()})


def database_now(session: Session) -> datetime:
    """Return the database's clock."""
    now: datetime = session.execute(select(NOW)).scalar_one()
    return now
