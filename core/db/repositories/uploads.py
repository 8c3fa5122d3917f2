"""SQL of uploads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, exists, func, select
from sqlalchemy.orm import Session

from core.db.models import Job, Upload
from core.db.repositories.access import readable
from core.db.repositories.jobs import NOW, seconds_from_now
from core.errors import NotFound
from core.jobs.states import TERMINAL
from core.services.principal import Principal


def add(session: Session, upload: Upload, ttl: timedelta) -> Upload:
    """Write an upload that expires after ``ttl`` on the database's clock."""
    upload.expires_at = seconds_from_now(ttl.total_seconds())
    session.add(upload)
    session.flush()
    session.refresh(upload)
    return upload


def lock_open(session: Session, principal: Principal) -> tuple[int, int]:
    """Return number and announced bytes of unfinished uploads; other announcements wait.

    The lock ends with the transaction; without it two announcements could both find room.
    """
    lock = func.pg_advisory_xact_lock(func.hashtextextended(f"uploads:{principal.tenant_id}", 0))
    session.execute(select(lock))
    mine = readable(principal, Upload).where(Upload.completed_at.is_(None), Upload.expires_at > NOW)
    row = session.execute(
        mine.with_only_columns(func.count(), func.coalesce(func.sum(Upload.length), 0))
    ).one()
    return int(row[0]), int(row[1])


def live(session: Session, principal: Principal, upload_id: str, *, lock: bool = False) -> Upload:
    """Return an upload that has not expired; NotFound otherwise."""
    query = readable(principal, Upload).where(Upload.id == upload_id, Upload.expires_at > NOW)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    row = session.scalar(query)
    if row is None:
        raise NotFound(
            f"There is no upload {upload_id}, or it has expired", code="upload_not_found"
        )
    return row


def take_expired(session: Session, limit: int = 100) -> list[tuple[str, str]]:
    """Delete expired uploads that no unfinished job needs; returns (id, tenant_id)."""
    needed = exists().where(
        Job.status.not_in(TERMINAL), func.jsonb_exists(Job.inputs["uploads"], Upload.id)
    )
    held = session.scalars(
        select(Upload.id)
        .where(Upload.expires_at <= NOW, ~needed)
        .order_by(Upload.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    # once more under the locks: a submission may have been committed while they were taken
    gone = session.execute(
        delete(Upload)
        .where(Upload.id.in_(held), ~needed)
        .returning(Upload.id, Upload.tenant_id)
        .execution_options(synchronize_session=False)
    )
    return [(row[0], row[1]) for row in gone]


def known(session: Session, ids: Sequence[str]) -> set[str]:
    """Return those of the ids that are uploads."""
    return set(session.scalars(select(Upload.id).where(Upload.id.in_(ids))))
