"""SQL of what is deleted because it is old; what anything refers to stays, however old."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from core.db.models import BrowserSession, Job
from core.db.repositories.jobs import seconds_from_now

_OLD_TREES = text("""
    WITH RECURSIVE roots AS (
        SELECT id, tenant_id FROM jobs
        WHERE parent_id IS NULL AND status IN ('succeeded', 'failed', 'canceled')
          AND finished_at < clock_timestamp() - make_interval(secs => :seconds)
          AND id > :after
        ORDER BY id LIMIT :most
    ), tree AS (
        SELECT id AS root, tenant_id, id FROM roots
        UNION ALL
        SELECT t.root, t.tenant_id, j.id FROM jobs j JOIN tree t ON j.parent_id = t.id
    )
    SELECT root, tenant_id, array_agg(id),
        bool_or(EXISTS (SELECT FROM models m WHERE m.job_id = tree.id)
            OR EXISTS (SELECT FROM assets a WHERE a.job_id = tree.id)
            OR EXISTS (SELECT FROM experiments e WHERE e.job_id = tree.id)
            OR EXISTS (SELECT FROM dataset_versions v WHERE v.job_id = tree.id))
    FROM tree GROUP BY root, tenant_id ORDER BY root
""")
_OLD_EVENTS = text("""
    WITH old AS (
        SELECT j.id, j.tenant_id, j.last_seq FROM jobs j
        WHERE j.status IN ('succeeded', 'failed', 'canceled')
          AND j.finished_at < clock_timestamp() - make_interval(secs => :seconds)
          AND EXISTS (SELECT FROM job_events e WHERE e.job_id = j.id AND e.seq < j.last_seq)
        LIMIT :most
    ), gone AS (
        DELETE FROM job_events e USING old WHERE e.job_id = old.id AND e.seq < old.last_seq
    )
    SELECT id, tenant_id FROM old
""")


@dataclass(frozen=True, slots=True)
class OldTree:
    """A job without a parent, and all below it."""

    root: str
    tenant_id: str
    jobs: list[str]
    has_product: bool


def old_trees(session: Session, seconds: float, after: str, most: int) -> list[OldTree]:
    """Return trees that ended so long ago, by the id of their root."""
    values = {"seconds": seconds, "after": after, "most": most}
    return [OldTree(*row) for row in session.execute(_OLD_TREES, values)]


def delete_jobs(session: Session, roots: Sequence[str]) -> None:
    """Delete jobs with their children, events and artifacts."""
    session.execute(
        delete(Job).where(Job.id.in_(roots)).execution_options(synchronize_session=False)
    )


def forget_events(session: Session, seconds: float, most: int) -> list[tuple[str, str]]:
    """Delete all events but the last of up to ``most`` jobs that ended so long ago.

    Returns (job, tenant) of each.
    """
    rows = session.execute(_OLD_EVENTS, {"seconds": seconds, "most": most})
    return [(row[0], row[1]) for row in rows]


def known_jobs(session: Session, ids: Sequence[str]) -> set[str]:
    """Return those of the ids that are jobs."""
    return set(session.scalars(select(Job.id).where(Job.id.in_(ids))))


def forget_sessions(session: Session, seconds: float) -> None:
    """Delete links and cookies that expired so long ago."""
    session.execute(
        delete(BrowserSession).where(BrowserSession.expires_at < seconds_from_now(-seconds))
    )
