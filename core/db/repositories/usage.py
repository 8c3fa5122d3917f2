"""SQL of the bytes that tenants keep: added by who writes, taken off by a trigger on deletion."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import update
from sqlalchemy.orm import Session

from core.db.models import Tenant


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
