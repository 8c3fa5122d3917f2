"""Submitting jobs: by a caller, or by a job that wants children."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from core.config import get_settings
from core.db.models import Job, Tenant
from core.db.repositories import jobs, new_jobs
from core.db.repositories.new_jobs import NewJob, Written
from core.errors import NotFound, TooManyRequests
from core.ids import new_id
from core.jobs.context import Children, Inputs
from core.jobs.spec import JOB_KINDS, Cost, JobKind, Params
from core.services import hints
from core.services.audit import record
from core.services.inputs import parse, resolve
from core.services.job_view import silence_seconds
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
    session: Session, tenant_id: str, kind: JobKind[Any, Any], raw: dict[str, Any] | Params
) -> Checked:
    """Validate parameters, resolve what they name and run the kind's own check."""
    params = parse(kind, raw)
    inputs = resolve(session, tenant_id, params)
    if kind.check is not None:
        kind.check(params, inputs)
    return Checked(kind, params, inputs)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job that may be written, and who asks for it."""

    principal: Principal
    job: NewJob


def submit(
    session: Session,
    principal: Principal,
    kind: JobKind[Any, Any],
    raw: dict[str, Any] | Params,
    labels: Sequence[str] = (),
) -> Written:
    """Write a queued job with its first event; a hint, if it needs one, follows the commit.

    ``raw``: the parameters, validated or not. Errors are those of :func:`prepare` and of
    :func:`write`. The caller rolls back.
    """
    new = prepare(session, principal, kind, raw, labels)
    written = write(session, [new])[new.job.id]
    if isinstance(written, TooManyRequests):
        raise written
    return written


def prepare(
    session: Session,
    principal: Principal,
    kind: JobKind[Any, Any],
    raw: dict[str, Any] | Params,
    labels: Sequence[str] = (),
) -> Prepared:
    """Check what a caller asks for, and return the job that it becomes; nothing is written.

    What it names is locked, so that it stays. StorageFull: what it would make could not be kept.
    """
    require_room()
    checked = check(session, principal.tenant_id, kind, raw)
    job_id = new_id("job")
    with span("job.submit", about={"job_id": job_id, "kind": kind.name}):
        origin = _origin(principal)
        job = _new_job(job_id, principal.tenant_id, checked, list(labels), origin)
    return Prepared(principal, job)


def write(session: Session, new: Sequence[Prepared]) -> dict[str, Written | TooManyRequests]:
    """Write jobs of one tenant in one statement, and the hints that follow the commit; by their id.

    TooManyRequests stands for each that is beyond the tenant's limit of unfinished jobs.
    QuotaExceeded, for all: what they would make could not be kept. The caller rolls back.
    """
    limit = get_settings().max_active_jobs
    added = new_jobs.add_roots(session, [one.job for one in new], limit, silence_seconds())
    written = {job.id: job for job in added}
    if added:
        require_quota(added[0].usage)
    for one in new:
        if one.job.id in written:
            _follow(session, one.principal, written[one.job.id])
    if len(written) == len(new):
        return {**written}
    refusal = _too_many(session, new[0].job.tenant_id, limit, len(written))
    return {one.job.id: written.get(one.job.id, refusal) for one in new}


def _follow(session: Session, principal: Principal, written: Written) -> None:
    job = written.job
    if not JOB_KINDS.get(job.kind).diagnostic:
        used = [job.inputs[what] for what in ("versions", "uploads", "models", "assets")]
        details = {"kind": job.kind, "inputs": [one for ids in used for one in ids]}
        record(session, principal, "job.create", "job", job.id, details)
    if written.place.before < hints.ENOUGH:
        want_hint(session, job.id, job.queue)


def _origin(principal: Principal) -> dict[str, Any] | None:
    """Return what asks for a job, for logs and traces, and who, for what the job will make."""
    ids = {"request_id": principal.request_id, "traceparent": traceparent()}
    ids["actor"] = principal.key_id
    return {name: value for name, value in ids.items() if value} or None


def submit_children(session: Session, parent: Job, wanted: Children) -> list[NewJob]:
    """Write the children of a locked parent, which gives up its lease and waits for them."""
    first = parent.round_start + len(jobs.children(session, parent.id)[parent.round_start :])
    created = []
    for offset, spec in enumerate(wanted.children):
        checked = check(session, parent.tenant_id, JOB_KINDS.get(spec.kind), spec.params)
        plain = _new_job(new_id("job"), parent.tenant_id, checked, parent.labels, parent.origin)
        child = replace(
            plain, parent_id=parent.id, ordinal=first + offset, role=spec.role, weight=spec.weight
        )
        want_hint(session, child.id, child.queue)
        created.append(child)
    new_jobs.add_children(session, created)
    parent.pending_children = len(created)
    parent.round_start = first
    parent.span_start, parent.span_end = wanted.span
    parent.phase = wanted.phase
    parent.lease_token = parent.lease_expires_at = parent.worker_id = None
    parent.checkpoint = None
    jobs.add_event(session, parent.id, "children", {"phase": wanted.phase, "count": len(created)})
    return created


def _new_job(
    job_id: str,
    tenant_id: str,
    checked: Checked,
    labels: list[str],
    origin: dict[str, Any] | None,
) -> NewJob:
    kind = checked.kind
    versions = checked.inputs.versions.values()
    return NewJob(
        id=job_id,
        tenant_id=tenant_id,
        kind=kind.name,
        queue=kind.queue_of(checked.params),
        params=checked.params.model_dump(mode="json"),
        inputs=checked.inputs.model_dump(mode="json"),
        dataset_ids=sorted({version.dataset_id for version in versions}),
        labels=labels,
        max_attempts=kind.max_attempts,
        timeout_seconds=kind.timeout,
        origin=origin,
    )


def _too_many(session: Session, tenant_id: str, limit: int, more: int) -> TooManyRequests:
    """Return the refusal; ``more`` were written in this transaction, and are counted at its end."""
    tenant = session.get_one(Tenant, tenant_id)
    unfinished, most = tenant.jobs_active + more, tenant.max_active_jobs or limit
    return TooManyRequests(
        f"{unfinished} jobs are unfinished; the limit is {most}",
        code="too_many_jobs",
        retry_after=30,
    )
