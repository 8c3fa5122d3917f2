"""What a tenant may keep, and the room on the volume that nobody may take."""

from __future__ import annotations

from sqlalchemy.orm import Session

from core.config import Settings, get_settings
from core.db.models import JobCharge
from core.db.repositories import usage
from core.db.repositories.usage import Usage
from core.errors import QuotaExceeded
from core.storage.space import Reserve, require_space


def reserve_of(settings: Settings) -> Reserve:
    """Return the reserve of the settings."""
    return Reserve(bytes=settings.disk_reserve_bytes, percent=settings.disk_reserve_percent)


def require_room(size: int = 0) -> None:
    """StorageFull unless ``size`` bytes more leave the volume its reserve."""
    settings = get_settings()
    require_space(settings.data_dir, reserve_of(settings), size)


def charge(session: Session, tenant_id: str, size: int) -> None:
    """Count bytes that a tenant keeps from now on; QuotaExceeded beyond its limit.

    Locks the tenant's row: every submission of the tenant waits until the transaction ends.
    """
    if size:
        _require_within(usage.add(session, tenant_id, size), size)


def charge_job(session: Session, tenant_id: str, job_id: str, size: int) -> None:
    """Count bytes that came with a job that has just been written; QuotaExceeded.

    They count until the job has ended and its bytes are old enough to be collected as garbage.
    """
    session.add(JobCharge(job_id=job_id, tenant_id=tenant_id, bytes=size))
    session.flush()
    charge(session, tenant_id, size)


def check_quota(session: Session, tenant_id: str, size: int = 0) -> None:
    """QuotaExceeded for what could not be charged now; nothing is counted or locked."""
    found = usage.of(session, tenant_id)
    _require_within(Usage(found.used + size, found.limit), size)


def require_quota(found: Usage) -> None:
    """QuotaExceeded for a tenant that has nothing left: what it starts could not be kept."""
    limit = _limit(found)
    if limit and found.used >= limit:
        _require_within(found, 0)


def _limit(found: Usage) -> int:
    return get_settings().max_tenant_bytes if found.limit is None else found.limit


def _require_within(found: Usage, size: int) -> None:
    limit = _limit(found)
    if not limit or found.used <= limit - (not size):
        return
    kept = found.used - size
    wanted = f", and this needs {size} more" if size else ""
    raise QuotaExceeded(
        f"{kept} of {limit} bytes are used{wanted}; delete datasets that are not needed, or ask "
        "the operator for more",
        extra={"used_bytes": kept, "limit_bytes": limit},
    )
