"""SQL of new jobs: those of one moment and their first events are one statement.

Submitting is what callers do most, so the statement reads the limits too, and where the jobs stand
in their queues. The tenant's counter is kept by a trigger at the end of the transaction: nobody
waits for its row while this process talks to the database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from core.db.models import Job
from core.db.repositories.job_queries import AHEAD, FAR, SERVED, Place
from core.db.repositories.job_rows import JobRow
from core.db.repositories.usage import Usage
from core.jobs.states import JobStatus

TOGETHER = 64
"""Children in one statement."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """What a job is written with; everything else of its row has the table's default."""

    id: str
    tenant_id: str
    kind: str
    queue: str
    params: dict[str, Any]
    inputs: dict[str, Any]
    dataset_ids: list[str]
    labels: list[str]
    max_attempts: int
    timeout_seconds: float
    origin: dict[str, Any] | None
    parent_id: str | None = None
    ordinal: int = 0
    role: str = ""
    weight: float = 1.0

    def told(self) -> dict[str, Any]:
        """Return what its first event says."""
        told = {"kind": self.kind, "queue": self.queue}
        if request_id := (self.origin or {}).get("request_id"):
            told["request_id"] = request_id
        return told


@dataclass(frozen=True, slots=True)
class Written:
    """A new job as the database has it, and what its tenant keeps."""

    job: NewJob
    created_at: datetime
    place: Place
    usage: Usage

    @property
    def id(self) -> str:
        return self.job.id

    def row(self) -> JobRow:
        """Return it as it would be read back: as written, and the defaults of the table."""
        given = {name: getattr(self.job, name) for name in _SHOWN}
        return JobRow(**given, **_FRESH, created_at=self.created_at)


_NAMES = tuple(field.name for field in fields(NewJob))
_SHOWN = tuple(field.name for field in fields(JobRow) if field.name in _NAMES)
_FRESH: dict[str, Any] = {
    **dict.fromkeys(("result", "error", "started_at", "finished_at", "cancel_requested_at")),
    **{"status": JobStatus.QUEUED, "phase": "queued", "attempt": 0, "claims": 0},
    **{"pending_children": 0, "span_start": 0.0, "span_end": 1.0},
    **{"progress_current": 0.0, "progress_total": 1.0},
}
"""What the table fills in; ``created_at`` it tells."""
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_COLUMNS = ", ".join(f"{name} {Job.__table__.c[name].type.compile(_DIALECT)}" for name in _NAMES)
_NEW = f"""
    new AS (
        SELECT * FROM ROWS FROM (jsonb_to_recordset(:jobs) AS ({_COLUMNS}, told jsonb))
            WITH ORDINALITY AS listed({", ".join(_NAMES)}, told, place)
    )"""
_WRITE = f"""
    job AS (
        INSERT INTO jobs ({", ".join(_NAMES)}, hinted_at, last_seq)
        SELECT {", ".join(_NAMES)}, clock_timestamp(), 1 FROM new
        {{where}}
        RETURNING id, queue, created_at
    ), event AS (
        INSERT INTO job_events (job_id, seq, type, data)
        SELECT id, 1, 'submitted', told FROM job JOIN new USING (id)
    )"""
_JOBS = bindparam("jobs", type_=JSONB)
# the number of a tenant's jobs is read without a lock: what others submit at the same moment may
# be above the limit
_ROOTS = text(f"""
    WITH tenant AS (
        SELECT bytes_used, max_bytes,
               coalesce(nullif(max_active_jobs, 0), :limit) - jobs_active AS room
        FROM tenants WHERE id = :tenant_id
    ), {_NEW}, {_WRITE.format(where="WHERE place <= (SELECT room FROM tenant)")},
    front AS (
        SELECT queue, ({AHEAD}) AS before, {SERVED} AS served
        FROM (SELECT queue, min(id) AS id FROM job GROUP BY queue) AS j
    )
    SELECT job.id, job.created_at, front.before, front.served, tenant.bytes_used, tenant.max_bytes
    FROM job JOIN front USING (queue) CROSS JOIN tenant
""").bindparams(_JOBS)
_CHILDREN = text(f"WITH {_NEW}, {_WRITE.format(where='')} SELECT FROM job").bindparams(_JOBS)


def _values(jobs: Sequence[NewJob]) -> list[dict[str, Any]]:
    return [{"told": job.told()} | {name: getattr(job, name) for name in _NAMES} for job in jobs]


def add_roots(
    session: Session, jobs: Sequence[NewJob], limit: int, silence_seconds: float
) -> list[Written]:
    """Write jobs of one tenant with their first events; return those that there was room for.

    These are the first of the list; the database counts them when the transaction ends. ``limit``:
    of unfinished jobs, for tenants without one of their own. ``silence_seconds``: as of
    :func:`job_queries.places`.
    """
    more = {"tenant_id": jobs[0].tenant_id, "limit": limit, "silence": silence_seconds, "far": FAR}
    found = {row.id: row for row in session.execute(_ROOTS, {"jobs": _values(jobs)} | more)}
    written, in_queue = [], Counter[str]()
    for job in sorted((job for job in jobs if job.id in found), key=lambda job: job.id):
        row = found[job.id]
        place = Place(min(FAR, row.before + in_queue[job.queue]), row.served)
        written.append(Written(job, row.created_at, place, Usage(row.bytes_used, row.max_bytes)))
        in_queue[job.queue] += 1
    return written


def add_children(session: Session, jobs: Sequence[NewJob]) -> None:
    """Write jobs below a parent with their first events; only roots are counted."""
    for first in range(0, len(jobs), TOGETHER):  # a JSON array in the database ends at 256 MiB
        session.execute(_CHILDREN, {"jobs": _values(jobs[first : first + TOGETHER])})
