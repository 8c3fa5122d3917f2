"""SQL of the audit log; rows are written by ``core.services.audit`` and never changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db.models import AuditEntry
from core.services.principal import Principal


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are asked for; None does not restrict."""

    action: str | None = None
    actor_id: str | None = None
    target_id: str | None = None
    request_id: str | None = None
    after: datetime | None = None
    before: datetime | None = None


def newest(
    session: Session, principal: Principal, wanted: AuditFilter, before: str | None, limit: int
) -> list[AuditEntry]:
    """Return entries of the principal's tenant, newest first, older than ``before``."""
    # not through readable(): entries outlive their tenant, so the table has no reference to it
    query = (
        select(AuditEntry)
        .where(AuditEntry.tenant_id == principal.tenant_id)
        .order_by(AuditEntry.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(AuditEntry.id < before)
    for name in ("action", "actor_id", "target_id", "request_id"):
        if (value := getattr(wanted, name)) is not None:
            query = query.where(getattr(AuditEntry, name) == value)
    if wanted.after is not None:
        query = query.where(AuditEntry.at > wanted.after)
    if wanted.before is not None:
        query = query.where(AuditEntry.at < wanted.before)
    return list(session.scalars(query))
