"""SQL of assets: lists, and what needs one."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.db.models import Asset, DatasetVersion, Job
from core.db.repositories.access import readable
from core.errors import NotFound
from core.jobs.states import TERMINAL
from core.services.principal import Principal

MAX_NAMED = 20


def newest_of_kind(
    session: Session, principal: Principal, kind: str | None, before: str | None, limit: int
) -> list[Asset]:
    """Return assets, newest first, with ids below ``before``."""
    query = readable(principal, Asset).order_by(Asset.id.desc()).limit(limit)
    if kind is not None:
        query = query.where(Asset.kind == kind)
    if before is not None:
        query = query.where(Asset.id < before)
    return list(session.scalars(query))


def lock_asset(session: Session, principal: Principal, asset_id: str) -> Asset:
    """Lock an asset, so that no job can begin to use it."""
    row = session.scalar(readable(principal, Asset).where(Asset.id == asset_id).with_for_update())
    if row is None:
        raise NotFound(f"There is no asset {asset_id}", code="asset_not_found")
    return row


def dependents(session: Session, asset: Asset) -> list[tuple[str, str]]:
    """Return (type, id) of what needs an asset: unfinished jobs, and versions rendered with it."""
    given = select(Job.id).where(
        Job.tenant_id == asset.tenant_id,
        func.jsonb_exists(func.jsonb_extract_path(Job.inputs, "assets"), asset.id),
    )
    jobs = given.where(Job.status.not_in(TERMINAL))
    versions = select(DatasetVersion.id).where(
        DatasetVersion.tenant_id == asset.tenant_id, DatasetVersion.job_id.in_(given)
    )
    found = [("job", row) for row in session.scalars(jobs.limit(MAX_NAMED))]
    return found + [("dataset_version", row) for row in session.scalars(versions.limit(MAX_NAMED))]
