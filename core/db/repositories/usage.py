"""SQL of the bytes that tenants keep: added by who writes, taken off by a trigger on deletion."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from core.db.models import Job, JobCharge, Tenant
from core.db.repositories.jobs import seconds_from_now
from core.jobs.states import TERMINAL


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes that a tenant keeps, and its own limit (None: that of the settings)."""

    used: int
    limit: int | None


def add(session: Session, tenant_id: str, size: int) -> Usage:
    """Add bytes to a tenant; its row stays locked, so this comes last in a transaction."""
    row = session.execute(
        update(Tenant)
        .where(Tenant.id == tenant_id)
        .values(bytes_used=Tenant.bytes_used + size)
        .returning(Tenant.bytes_used, Tenant.max_bytes)
        .execution_options(synchronize_session=False)
    ).one()
    return Usage(row[0], row[1])


def of(session: Session, tenant_id: str) -> Usage:
    """Return what a tenant keeps, without a lock."""
    query = select(Tenant.bytes_used, Tenant.max_bytes).where(Tenant.id == tenant_id)
    row = session.execute(query).one()
    return Usage(row[0], row[1])


def release_ended(session: Session, age_seconds: float) -> int:
    """Give back what came with jobs that ended so long ago; returns how many jobs."""
    ended = select(Job.id).where(
        Job.status.in_(TERMINAL), Job.finished_at < seconds_from_now(-age_seconds)
    )
    gone = session.execute(
        delete(JobCharge)
        .where(JobCharge.job_id.in_(ended))
        .execution_options(synchronize_session=False)
    )
    return int(gone.rowcount)  # type: ignore[attr-defined]
