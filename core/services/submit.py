"""Submitting jobs: by a caller, or by a job that wants children."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from core.config import get_settings
from core.db.models import Job, Tenant
from core.db.repositories import jobs
from core.errors import NotFound, TooManyRequests
from core.ids import new_id
from core.jobs.context import Children, Inputs
from core.jobs.spec import JOB_KINDS, Cost, JobKind, Params
from core.services.audit import record
from core.services.inputs import parse, resolve
from core.services.principal import Principal
from core.services.quota import require_quota, require_room
from core.services.transaction import want_hint
from core.tracing import span, traceparent


@dataclass(frozen=True, slots=True)
class Checked:
    """Parameters that have been validated against their kind and against what they refer to."""

    kind: JobKind[Any, Any]
    params: Params
    inputs: Inputs

    def estimate(self) -> Cost | None:
        return self.kind.estimate(self.params, self.inputs) if self.kind.estimate else None


def public_kinds() -> list[JobKind[Any, Any]]:
    """Return the kinds that a caller may submit, by name."""
    diagnostics = get_settings().diagnostics
    return [kind for _, kind in JOB_KINDS if kind.public and (diagnostics or not kind.diagnostic)]


def public_kind(name: str) -> JobKind[Any, Any]:
    """Return a kind that a caller may submit; NotFound, because the kind stands in the path."""
    for kind in public_kinds():
        if kind.name == name:
            return kind
    raise NotFound(f"There is no job kind {name!r}", code="unknown_job_kind")


def check(
    session: Session, tenant_id: str, kind: JobKind[Any, Any], raw: dict[str, Any]
) -> Checked:
    """Validate parameters, resolve what they name and run the kind's own check."""
    params = parse(kind, raw)
    inputs = resolve(session, tenant_id, params)
    if kind.check is not None:
        kind.check(params, inputs)
    return Checked(kind, params, inputs)


def submit(
    session: Session,
    principal: Principal,
    kind: JobKind[Any, Any],
    raw: dict[str, Any],
    labels: Sequence[str] = (),
) -> Job:
    """Write a queued job with its first event; the hint goes out after the commit.

    StorageFull, QuotaExceeded: what it would make could not be kept.
    """
    require_room()
    checked = check(session, principal.tenant_id, kind, raw)
    job = _new_job(checked, principal.tenant_id)
    job.labels = list(labels)
    if kind.audited:
        used = [*checked.inputs.versions, *checked.inputs.uploads]
        details = {"kind": kind.name, "inputs": used}
        record(session, principal, "job.create", "job", job.id, details)
    with span("job.submit", about={"job_id": job.id, "kind": job.kind}):
        job.origin = _origin(principal)
        _enqueue(session, job)
        _count_active(session, principal.tenant_id)
    return job


def _origin(principal: Principal) -> dict[str, Any] | None:
    """Return what asks for a job, for the logs and traces of those who run it."""
    ids = {"request_id": principal.request_id, "traceparent": traceparent()}
    return {name: value for name, value in ids.items() if value} or None


def submit_children(session: Session, parent: Job, wanted: Children) -> list[Job]:
    """Write the children of a locked parent, which gives up its lease and waits for them."""
    first = parent.round_start + len(jobs.children(session, parent.id)[parent.round_start :])
    created = []
    for offset, spec in enumerate(wanted.children):
        checked = check(session, parent.tenant_id, JOB_KINDS.get(spec.kind), spec.params)
        job = _new_job(checked, parent.tenant_id)
        job.parent_id, job.ordinal = parent.id, first + offset
        job.role, job.weight = spec.role, spec.weight
        job.labels, job.origin = parent.labels, parent.origin
        created.append(_enqueue(session, job))
    parent.pending_children = len(created)
    parent.round_start = first
    parent.span_start, parent.span_end = wanted.span
    parent.phase = wanted.phase
    parent.lease_token = parent.lease_expires_at = parent.worker_id = None
    parent.checkpoint = None
    jobs.add_event(session, parent.id, "children", {"phase": wanted.phase, "count": len(created)})
    return created


def _new_job(checked: Checked, tenant_id: str) -> Job:
    kind = checked.kind
    versions = checked.inputs.versions.values()
    return Job(
        id=new_id("job"),
        tenant_id=tenant_id,
        kind=kind.name,
        queue=kind.queue_of(checked.params),
        params=checked.params.model_dump(mode="json"),
        inputs=checked.inputs.model_dump(mode="json"),
        dataset_ids=sorted({version.dataset_id for version in versions}),
        max_attempts=kind.max_attempts,
        timeout_seconds=kind.timeout,
        hinted_at=jobs.NOW,
    )


def _enqueue(session: Session, job: Job) -> Job:
    told = {"kind": job.kind, "queue": job.queue}
    if request_id := (job.origin or {}).get("request_id"):
        told["request_id"] = request_id
    jobs.add_new(session, job, "submitted", told)
    want_hint(session, job.id, job.queue)
    return job


def _count_active(session: Session, tenant_id: str) -> None:
    """Count one more unfinished job; TooManyRequests, QuotaExceeded: the caller rolls back.

    The last write of a submission: the tenant's row is the one thing that all its submissions
    lock, so it is held for as short as can be.
    """
    limit = get_settings().max_active_jobs
    if (used := jobs.count_active(session, tenant_id, limit)) is not None:
        require_quota(used)
        return
    tenant = session.get(Tenant, tenant_id)
    if tenant is None:
        raise NotFound(f"There is no tenant {tenant_id}", code="tenant_not_found")
    raise TooManyRequests(
        f"{tenant.jobs_active} jobs are unfinished; the limit is {tenant.max_active_jobs or limit}",
        code="too_many_jobs",
        retry_after=30,
    )
