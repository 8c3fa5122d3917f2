"""SQL of backup and restore."""

from __future__ import annotations

from sqlalchemy import or_, select, text
from sqlalchemy.orm import Session

from core.db.models import ApiKey, BrowserSession, Job
from core.db.repositories.jobs import NOW, lock_with_ancestors
from core.jobs.states import JobStatus


def export(session: Session) -> str:
    """Return a name under which others see what this transaction sees, while it lasts."""
    return str(session.execute(text("SELECT pg_export_snapshot()")).scalar_one())


def server_major(session: Session) -> int:
    """Return the major version of the server."""
    return int(session.execute(text("SHOW server_version_num")).scalar_one()) // 10_000


def uploads(session: Session) -> dict[str, int]:
    """Return how many bytes of each live upload must be there, by its id."""
    rows = session.execute(
        text("SELECT id, received FROM uploads WHERE expires_at > clock_timestamp()")
    )
    return {row[0]: row[1] for row in rows if row[1]}


def has_tables(session: Session) -> bool:
    """Tell whether anything lies in the database."""
    query = "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'public')"
    return bool(session.execute(text(query)).scalar_one())


def clear(session: Session) -> None:
    """Remove everything from the database."""
    session.execute(text("DROP SCHEMA public CASCADE"))
    session.execute(text("CREATE SCHEMA public"))


def interrupted(session: Session) -> list[Job]:
    """Lock and return the jobs that some worker held."""
    rows = session.execute(
        text("SELECT id FROM jobs WHERE status = :running AND lease_token IS NOT NULL ORDER BY id"),
        {"running": JobStatus.RUNNING},
    )
    found = [lock_with_ancestors(session, row[0]) for row in rows.all()]
    return [job for job in found if job is not None]


def open_sessions(session: Session) -> list[BrowserSession]:
    """Lock and return the sessions, and unused login links, of all tenants that still work."""
    query = select(BrowserSession).where(
        BrowserSession.revoked_at.is_(None), BrowserSession.expires_at > NOW
    )
    return list(session.scalars(query.order_by(BrowserSession.id).with_for_update()))


def usable_keys(session: Session) -> list[ApiKey]:
    """Lock and return the keys of all tenants that work."""
    lives = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > NOW)
    query = select(ApiKey).where(ApiKey.revoked_at.is_(None), lives)
    return list(session.scalars(query.order_by(ApiKey.id).with_for_update()))
