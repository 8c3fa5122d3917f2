"""SQL of jobs as callers see them: only the columns that are shown, no mapped objects."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Float,
    Select,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    select,
)
from sqlalchemy.orm import Session, aliased

from core.db.models import Artifact, Job, Worker
from core.db.repositories.access import readable, readable_by_bound
from core.db.repositories.job_queries import FAR
from core.db.repositories.jobs import seconds_from_now
from core.errors import NotFound
from core.jobs.states import JobStatus
from core.services.principal import Principal


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs are asked for; None does not restrict."""

    kind: str | None = None
    status: str | None = None
    label: str | None = None
    dataset_id: str | None = None
    parent_id: str | None = None
    created_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class JobRow:
    """The columns of a job that callers see, and those that its progress needs."""

    id: str
    kind: str
    status: str
    queue: str
    params: dict[str, Any]
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    labels: list[str]
    attempt: int
    max_attempts: int
    claims: int
    parent_id: str | None
    weight: float
    pending_children: int
    span_start: float
    span_end: float
    phase: str
    progress_current: float
    progress_total: float
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None


_COLUMNS = tuple(getattr(Job, field.name) for field in fields(JobRow))


def newest_jobs(
    session: Session, principal: Principal, wanted: JobFilter, before: str | None, limit: int
) -> list[JobRow]:
    """Return jobs, newest first; ``parent_id`` "none" means those without a parent."""
    query = readable(principal, Job).with_only_columns(*_COLUMNS).order_by(Job.id.desc())
    if before is not None:
        query = query.where(Job.id < before)
    if wanted.kind is not None:
        query = query.where(Job.kind == wanted.kind)
    if wanted.status is not None:
        query = query.where(Job.status == wanted.status)
    if wanted.label is not None:
        query = query.where(Job.labels.contains([wanted.label]))
    if wanted.dataset_id is not None:
        query = query.where(Job.dataset_ids.contains([wanted.dataset_id]))
    if wanted.created_after is not None:
        query = query.where(Job.created_at > wanted.created_after)
    if wanted.parent_id == "none":
        query = query.where(Job.parent_id.is_(None))
    elif wanted.parent_id is not None:
        query = query.where(Job.parent_id == wanted.parent_id)
    return [JobRow(*row) for row in session.execute(query.limit(limit))]


@dataclass(frozen=True, slots=True)
class Around:
    """What stands around one job: its place in the queue, and whether there is more to read."""

    before: int | None
    served: bool | None
    has_children: bool
    has_artifacts: bool


def _with_surroundings() -> Select[Any]:
    ahead, child = aliased(Job), aliased(Job)
    due = (
        select(literal(1))
        .select_from(ahead)
        .where(
            ahead.queue == Job.queue,
            ahead.status == JobStatus.QUEUED,
            ahead.pending_children == 0,
            ahead.id < Job.id,
        )
        .limit(FAR)
        .correlate(Job)
        .lateral()
    )
    before = select(func.count()).select_from(due).scalar_subquery()
    served = exists().where(
        Job.queue == func.any(Worker.queues),
        Worker.last_seen > seconds_from_now(bindparam("since", type_=Float())),
    )
    queued = Job.status == JobStatus.QUEUED
    return (
        readable_by_bound(Job)
        .with_only_columns(
            *_COLUMNS,
            case((queued, before)),
            case((queued, served)),
            and_(Job.status == JobStatus.RUNNING, exists().where(child.parent_id == Job.id)),
            and_(Job.claims > 0, exists().where(Artifact.job_id == Job.id)),
        )
        .where(Job.id == bindparam("job_id"))
    )


_ONE = _with_surroundings()


def one_job(
    connection: Connection, principal: Principal, job_id: str, silence_seconds: float
) -> tuple[JobRow, Around]:
    """Return a job and what stands around it, in one query; NotFound also for another tenant's."""
    values = {"tenant_id": principal.tenant_id, "job_id": job_id, "since": -silence_seconds}
    row = connection.execute(_ONE, values).first()
    if row is None:
        raise _missing(job_id)
    own = len(_COLUMNS)
    return JobRow(*row[:own]), Around(*row[own:])


_STATE = (
    readable_by_bound(Job)
    .with_only_columns(Job.status, Job.last_seq)
    .where(Job.id == bindparam("job_id"))
)


def state(connection: Connection, principal: Principal, job_id: str) -> tuple[str, int]:
    """Return a job's status and the number of its newest event; NotFound as for one_job."""
    values = {"tenant_id": principal.tenant_id, "job_id": job_id}
    row = connection.execute(_STATE, values).first()
    if row is None:
        raise _missing(job_id)
    return row[0], row[1]


def _missing(job_id: str) -> NotFound:
    return NotFound(f"There is no job {job_id}", code="job_not_found")
