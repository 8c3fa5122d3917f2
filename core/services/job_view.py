"""A job as callers see it: progress over children, the queue, errors, artifacts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from core.config import get_settings
from core.db.models import Artifact, Job
from core.db.repositories import job_queries, job_rows, jobs
from core.db.repositories.job_queries import Place, Step
from core.db.repositories.job_rows import JobRow
from core.db.repositories.new_jobs import Written
from core.jobs.states import TERMINAL, JobStatus
from core.services.principal import Principal

ETA_FROM = 0.01
"""Below this fraction the time so far says nothing about the time to come."""


def silence_seconds() -> float:
    """Return after how long without a report a worker counts as gone."""
    return max(30.0, 3 * get_settings().heartbeat_seconds)


def views(session: Session, rows: Sequence[Job | JobRow]) -> list[dict[str, Any]]:
    """Return the jobs as JSON objects; a fixed number of queries, however many jobs."""
    claimed = [job.id for job in rows if job.claims]  # others cannot have published anything
    running = [job.id for job in rows if job.status == JobStatus.RUNNING]
    queued = {job.id: job.queue for job in rows if job.status == JobStatus.QUEUED}
    below = _by_parent(job_queries.descendants(session, running))
    places = job_queries.places(session, queued, silence_seconds())
    artifacts = jobs.artifacts_of(session, claimed) if claimed else {}
    return [_view(job, below, places.get(job.id), artifacts.get(job.id, ())) for job in rows]


def view(session: Session, job: Job) -> dict[str, Any]:
    """Return one job as a JSON object."""
    return views(session, [job])[0]


def written(new: Written) -> dict[str, Any]:
    """Return a job that was just submitted as a JSON object; nothing is read for it."""
    return _view(new.row(), {}, new.place, ())


def current(connection: Connection, principal: Principal, job_id: str) -> dict[str, Any]:
    """Return a job as it is now; NotFound also for another tenant's.

    One query, and one more each for the progress of children and for artifacts, if there are any.
    """
    job, around = job_rows.one_job(connection, principal, job_id, silence_seconds())
    below, artifacts = _by_parent(()), []
    if around.has_children:
        below = _by_parent(job_queries.descendants(Session(connection), [job_id]))
    if around.has_artifacts:
        artifacts = jobs.artifacts_of(Session(connection), [job_id])[job_id]
    place = None if around.before is None else Place(around.before, bool(around.served))
    return _view(job, below, place, artifacts)


def _by_parent(steps: Sequence[Step]) -> dict[str | None, list[Step]]:
    found: dict[str | None, list[Step]] = defaultdict(list)
    for step in steps:
        found[step.parent_id].append(step)
    return found


def _view(
    job: Job | JobRow,
    below: Mapping[str | None, list[Step]],
    place: Place | None,
    artifacts: Sequence[Artifact],
) -> dict[str, Any]:
    waiting = place is not None and not place.served
    return {
        "id": job.id,
        "kind": job.kind,
        "status": job.status,
        "params": job.params,
        "result": job.result,
        "error": job.error if job.status in TERMINAL else None,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "parent_id": job.parent_id,
        "labels": job.labels,
        "progress": _progress(job, below, waiting),
        "created_at": stamp(job.created_at),
        "started_at": stamp(job.started_at),
        "finished_at": stamp(job.finished_at),
        "cancel_requested_at": stamp(job.cancel_requested_at),
        "queue": job.queue,
        "queue_position": place.before if place else None,
        "artifacts": [artifact_view(artifact) for artifact in artifacts],
    }


def _progress(
    job: Job | JobRow, below: Mapping[str | None, list[Step]], waiting: bool
) -> dict[str, Any]:
    fraction = 0.0
    if job.status == JobStatus.SUCCEEDED:
        fraction = 1.0
    elif job.status == JobStatus.RUNNING:
        fraction = fraction_of(_step(job), below)
    return {
        "phase": f"waiting_for_worker:{job.queue}" if waiting else job.phase,
        "current": job.progress_current,
        "total": job.progress_total,
        "fraction": round(fraction, 4),
        "eta_seconds": _eta(job, fraction),
    }


def _step(job: Job | JobRow) -> Step:
    return Step(
        job.id,
        job.parent_id,
        job.status,
        job.weight,
        job.pending_children,
        job.span_start,
        job.span_end,
        job.progress_current,
        job.progress_total,
    )


def fraction_of(step: Step, below: Mapping[str | None, list[Step]]) -> float:
    """Return how much of a job is done, in [0, 1].

    A job that waits for children has the weighted mean of theirs on its span; after them its own
    work fills the rest.
    """
    if step.status == JobStatus.SUCCEEDED:
        return 1.0
    if step.status != JobStatus.RUNNING:
        return 0.0
    own = min(1.0, max(0.0, step.current / step.total)) if step.total > 0 else 0.0
    children = below.get(step.id, [])
    if not children:
        return own
    if step.pending_children == 0:
        return step.span_end + (1 - step.span_end) * own
    weight = sum(child.weight for child in children)
    done = sum(child.weight * fraction_of(child, below) for child in children)
    share = done / weight if weight > 0 else 0.0
    return step.span_start + (step.span_end - step.span_start) * share


def _eta(job: Job | JobRow, fraction: float) -> float | None:
    if job.status != JobStatus.RUNNING or job.started_at is None or fraction < ETA_FROM:
        return None
    elapsed = (datetime.now(UTC) - job.started_at).total_seconds()
    return round(max(0.0, elapsed * (1 - fraction) / fraction), 1)


def artifact_view(artifact: Artifact) -> dict[str, Any]:
    """Return an artifact as a JSON object."""
    return {
        "id": artifact.id,
        "job_id": artifact.job_id,
        "name": artifact.name,
        "sha256": artifact.sha256,
        "bytes": artifact.bytes,
        "media_type": artifact.media_type,
        "created_at": stamp(artifact.created_at),
        "content_url": f"/v1/artifacts/{artifact.id}/content",
    }


def stamp(at: datetime | None) -> str | None:
    """Return a time as RFC 3339 in UTC."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")
