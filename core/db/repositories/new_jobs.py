"""SQL of new jobs: the job and its first event are one statement, which reads the limits too.

Submitting is what callers do most: a round trip less is a thread and a connection free sooner. The
tenant's counter is kept by a trigger at the end of the transaction: nobody waits for its row while
this process talks to the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from core.db.repositories.job_queries import AHEAD, FAR, SERVED, Place
from core.db.repositories.job_rows import JobRow
from core.db.repositories.usage import Usage
from core.jobs.states import JobStatus


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


@dataclass(frozen=True, slots=True)
class Written:
    """A new job as the database has it; ``usage`` None: its tenant may have no more jobs."""

    job: NewJob
    created_at: datetime
    place: Place
    usage: Usage | None

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
_WRITE = f"""
    WITH job AS (
        INSERT INTO jobs ({", ".join(_NAMES)}, hinted_at, last_seq)
        VALUES ({", ".join(f":{name}" for name in _NAMES)}, clock_timestamp(), 1)
        RETURNING id, queue, created_at
    ), event AS (
        INSERT INTO job_events (job_id, seq, type, data)
        SELECT id, 1, 'submitted', :told FROM job
    )"""
_ROOM = """
    SELECT ARRAY[bytes_used, max_bytes] FROM tenants
    WHERE id = :tenant_id AND jobs_active < coalesce(nullif(max_active_jobs, 0), :limit)"""
"""Read without a lock: as many as are submitted at the same moment may be above the limit."""


def _statement(sql: str) -> TextClause:
    documents = ("params", "inputs", "told")
    typed = [bindparam(name, type_=JSONB) for name in documents]
    return text(sql).bindparams(*typed, bindparam("origin", type_=JSONB(none_as_null=True)))


_ROOT = _statement(f"""{_WRITE}
    SELECT j.created_at, ({AHEAD}), {SERVED}, ({_ROOM}) FROM job j
""")
_CHILD = _statement(f"{_WRITE} SELECT FROM job")


def _values(job: NewJob, told: Mapping[str, Any]) -> dict[str, Any]:
    return {"told": told} | {name: getattr(job, name) for name in _NAMES}


def add_root(
    session: Session, job: NewJob, told: Mapping[str, Any], limit: int, silence_seconds: float
) -> Written:
    """Write a job with its first event; the database counts it when the transaction ends.

    ``limit``: of unfinished jobs, for tenants without one of their own. The caller rolls back when
    it is met. ``silence_seconds``: as of :func:`job_queries.places`.
    """
    more = {"limit": limit, "silence": silence_seconds, "far": FAR}
    row = session.execute(_ROOT, _values(job, told) | more).one()
    usage = None if row[3] is None else Usage(*row[3])
    return Written(job, row[0], Place(row[1], row[2]), usage)


def add_child(session: Session, job: NewJob, told: Mapping[str, Any]) -> None:
    """Write a job below a parent with its first event; only roots are counted."""
    session.execute(_CHILD, _values(job, told))
