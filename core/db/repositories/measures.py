"""SQL of the numbers that operators watch: counters that never fall, and the state of the queues.

Triggers append a row to ``job_measures`` whenever a job is submitted or changes its status, and
when a delivery of a web hook has ended. ``fold`` moves those rows into ``job_totals``, so that
reading stays cheap however many jobs there have been, and deleting old ones takes nothing away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

BOUNDS = (
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0),
    *(600.0, 1800.0, 3600.0, 7200.0, 21600.0, 86400.0),
)
"""Upper bounds of the histograms, in seconds; each measure counts at the lowest that holds it."""
FOLD_ROWS = 20_000

_BOUND = """coalesce((SELECT min(b) FROM unnest(CAST(:bounds AS float8[])) AS b
                      WHERE b >= value), 'Infinity')"""
_FOLD = text(f"""
    WITH gone AS (
        DELETE FROM job_measures WHERE id IN (
            SELECT id FROM job_measures ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED)
        RETURNING name, kind, detail, value
    ), summed AS (
        INSERT INTO job_totals AS t (name, kind, detail, bound, count, total)
        SELECT name, kind, detail, {_BOUND} AS bound, count(*), coalesce(sum(value), 0)
        FROM gone GROUP BY name, kind, detail, bound
        ORDER BY name, kind, detail, bound
        ON CONFLICT (name, kind, detail, bound) DO UPDATE
        SET count = t.count + excluded.count, total = t.total + excluded.total
    )
    SELECT count(*) FROM gone
""")
_TOTALS = text(f"""
    SELECT name, kind, detail, bound, CAST(sum(count) AS bigint), sum(total) FROM (
        SELECT name, kind, detail, bound, count, total FROM job_totals
        UNION ALL
        SELECT name, kind, detail, {_BOUND}, 1, coalesce(value, 0) FROM job_measures
    ) AS every
    GROUP BY name, kind, detail, bound ORDER BY name, kind, detail, bound
""")


def fold(session: Session) -> int:
    """Move measures into the totals, some thousand at a time; returns how many."""
    values = {"bounds": list(BOUNDS), "most": FOLD_ROWS}
    return int(session.execute(_FOLD, values).scalar_one())


@dataclass(frozen=True, slots=True)
class Total:
    """A count since the beginning; ``total`` is the sum of the values, in seconds."""

    name: str
    kind: str
    detail: str
    bound: float
    count: int
    total: float


def totals(session: Session) -> list[Total]:
    """Return all totals with what has not been folded yet: one statement, so one snapshot."""
    return [Total(*row) for row in session.execute(_TOTALS, {"bounds": list(BOUNDS)})]


# Both parts have an index of their own (ix_jobs_claimable, ix_jobs_leases): jobs that have ended,
# the many, are not looked at.
_UNFINISHED = text("""
    SELECT kind, 'queued', count(*) FROM jobs
    WHERE status = 'queued' AND pending_children = 0 GROUP BY kind
    UNION ALL
    SELECT kind, 'running', count(*) FROM jobs WHERE status = 'running' GROUP BY kind
""")


def unfinished(session: Session) -> list[tuple[str, str, int]]:
    """Return (kind, status, number) of the jobs that have not ended."""
    return [(row[0], row[1], row[2]) for row in session.execute(_UNFINISHED)]


@dataclass(frozen=True, slots=True)
class Queue:
    """How many jobs wait, and since when the one that is due for the longest."""

    name: str
    depth: int
    oldest_seconds: float


_QUEUES = text("""
    SELECT q.name, count(j.id),
           coalesce(greatest(0, extract(epoch FROM clock_timestamp() - min(j.available_at))), 0)
    FROM unnest(CAST(:names AS text[])) AS q(name)
    LEFT JOIN jobs j ON j.queue = q.name AND j.status = 'queued' AND j.pending_children = 0
    GROUP BY q.name ORDER BY q.name
""")


def queues(session: Session, names: Sequence[str]) -> list[Queue]:
    """Return every queue, empty ones too."""
    rows = session.execute(_QUEUES, {"names": list(names)})
    return [Queue(row[0], row[1], float(row[2])) for row in rows]


_BUSY = text("""
    SELECT split_part(worker_id, ':', 1), count(*) FROM jobs
    WHERE status = 'running' AND worker_id IS NOT NULL
      AND lease_expires_at > clock_timestamp()
    GROUP BY 1 ORDER BY 1
""")


def busy_slots(session: Session) -> dict[str, int]:
    """Return how many jobs hold a lease that has not run out, by host of their worker."""
    return {row[0]: row[1] for row in session.execute(_BUSY)}


_UPLOADS = text("""
    SELECT count(*), coalesce(sum(received), 0) FROM uploads
    WHERE completed_at IS NULL AND expires_at > clock_timestamp()
""")


def open_uploads(session: Session) -> tuple[int, int]:
    """Return how many uploads are under way and how many bytes of them have arrived."""
    row: Any = session.execute(_UPLOADS).one()
    return int(row[0]), int(row[1])


_PENDING = text("""
    SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)
    FROM webhook_deliveries WHERE status = 'pending'
""")


def pending_deliveries(session: Session) -> tuple[int, float]:
    """Return how many messages of web hooks wait, and for how many seconds the oldest has."""
    row: Any = session.execute(_PENDING).one()
    return int(row[0]), float(row[1])


def disabled_webhooks(session: Session) -> int:
    """Return how many web hooks are switched off, by their owners or after failing for days."""
    query = text("SELECT count(*) FROM webhooks WHERE disabled_at IS NOT NULL")
    return int(session.execute(query).scalar_one())
