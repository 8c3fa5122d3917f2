"""SQL of what callers read about jobs: lists, progress trees, events of many jobs at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, literal_column, select, text
from sqlalchemy.orm import Session

from core.db.models import Worker
from core.db.repositories.jobs import seconds_from_now


@dataclass(frozen=True, slots=True)
class Step:
    """A job as its progress needs it."""

    id: str
    parent_id: str | None
    status: str
    weight: float
    pending_children: int
    span_start: float
    span_end: float
    current: float
    total: float


_TREE = text("""
    WITH RECURSIVE tree AS (
        SELECT c.* FROM jobs c JOIN jobs p ON p.id = c.parent_id
        WHERE p.id = ANY(:roots) AND c.ordinal >= p.round_start
        UNION ALL
        SELECT c.* FROM jobs c JOIN tree p ON p.id = c.parent_id
        WHERE p.status = 'running' AND c.ordinal >= p.round_start
    )
    SELECT id, parent_id, status, weight, pending_children, span_start, span_end,
           progress_current, progress_total
    FROM tree
""")


def descendants(session: Session, roots: Sequence[str]) -> list[Step]:
    """Return the jobs of the current round below each root, in one query."""
    if not roots:
        return []
    return [Step(*row) for row in session.execute(_TREE, {"roots": list(roots)})]


FAR = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a queued job stands: how many due jobs before it, and whether anybody serves them.

    ``before`` counts no further than FAR: a long queue must not make every answer slow.
    """

    before: int
    served: bool


AHEAD = """
    SELECT count(*) FROM (
        SELECT FROM jobs q
        WHERE q.queue = j.queue AND q.status = 'queued' AND q.pending_children = 0 AND q.id < j.id
        LIMIT :far) AS ahead
"""
"""How many jobs stand before a job ``j``, also those whose backoff is not over; up to ``far``."""

SERVED = """
    EXISTS (SELECT FROM workers w
            WHERE j.queue = ANY(w.queues)
              AND w.last_seen > clock_timestamp() - make_interval(secs => :silence))
"""
"""Whether some worker that reported within ``silence`` seconds serves the queue of a job ``j``."""

# BETWEEN and not =: ordered by the id alone, the planner would walk the primary key, and pass all
# jobs that have ended before it meets one that waits
_PLACES = text(f"""
    WITH ahead AS MATERIALIZED (
        SELECT due.id, row_number() OVER (PARTITION BY due.queue ORDER BY due.id) - 1 AS before
        FROM unnest(CAST(:queues AS text[])) AS wanted(queue)
        CROSS JOIN LATERAL (
            SELECT q.id, q.queue FROM jobs q
            WHERE q.queue BETWEEN wanted.queue AND wanted.queue
              AND q.status = 'queued' AND q.pending_children = 0
            ORDER BY q.queue, q.id LIMIT :far
        ) AS due
    )
    SELECT j.id, coalesce(ahead.before, :far), {SERVED}
    FROM jobs j LEFT JOIN ahead ON ahead.id = j.id
    WHERE j.id = ANY(:ids) AND j.status = 'queued' AND j.pending_children = 0
""")


def places(session: Session, queued: Mapping[str, str], silence_seconds: float) -> dict[str, Place]:
    """Return where each of the queued jobs stands, given queue by id.

    One query reads the front of each queue once, however many of its jobs are asked for.
    """
    if not queued:
        return {}
    values = {
        "ids": list(queued),
        "queues": sorted(set(queued.values())),
        "silence": silence_seconds,
        "far": FAR,
    }
    rows = session.execute(_PLACES, values)
    return {row[0]: Place(row[1], row[2]) for row in rows}


def live_workers(session: Session, silence_seconds: float) -> list[Worker]:
    """Return the workers that reported within the last ``silence_seconds``."""
    alive = Worker.last_seen > seconds_from_now(-silence_seconds)
    return list(session.scalars(select(Worker).where(alive).order_by(Worker.id)))


def live_queues(session: Session, silence_seconds: float) -> set[str]:
    """Return the queues that some live worker consumes."""
    queue = func.unnest(Worker.queues)
    alive = Worker.last_seen > seconds_from_now(-silence_seconds)
    return set(session.scalars(select(queue).where(alive).distinct()))


_EVENTS = text("""
    SELECT w.id, e.seq, e.type, e.data, e.at
    FROM unnest(CAST(:ids AS text[]), CAST(:seqs AS int[])) AS w(id, seq)
    CROSS JOIN LATERAL (
        SELECT seq, type, data, at FROM job_events
        WHERE job_id = w.id AND seq > w.seq ORDER BY seq LIMIT :most
    ) AS e
    ORDER BY w.id, e.seq
""")


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event of one of the jobs asked for."""

    job_id: str
    seq: int
    type: str
    data: dict[str, Any]
    at: datetime


def events_of_many(session: Session, after: Mapping[str, int], most: int) -> list[EventRow]:
    """Return up to ``most`` events of each job after its number, in one query."""
    values = {"ids": list(after), "seqs": list(after.values()), "most": most}
    return [EventRow(*row) for row in session.execute(_EVENTS, values)]


def revision(session: Session) -> str | None:
    """Return the migration that the database is at; None when it has no tables yet."""
    if session.execute(text("SELECT to_regclass('alembic_version')")).scalar() is None:
        return None
    column: Any = literal_column("version_num")
    return session.execute(select(column).select_from(text("alembic_version"))).scalar()
