"""SQL of what the database says twice: counters beside what they count."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from core.db.models import Artifact, Tenant, Upload

_ACTIVE = """(SELECT count(*) FROM jobs j WHERE j.tenant_id = t.id AND j.parent_id IS NULL
    AND j.status IN ('queued', 'running'))"""
_BYTES = """(SELECT coalesce(sum(bytes), 0)::bigint FROM (
    SELECT bytes FROM dataset_versions WHERE tenant_id = t.id
    UNION ALL SELECT bytes FROM artifacts WHERE tenant_id = t.id
    UNION ALL SELECT bytes FROM models WHERE tenant_id = t.id
    UNION ALL SELECT bytes FROM job_charges WHERE tenant_id = t.id
    UNION ALL SELECT length FROM uploads WHERE tenant_id = t.id) AS kept)"""
_PENDING = """(SELECT count(*) FROM jobs c WHERE c.parent_id = j.id
    AND c.status IN ('queued', 'running'))"""


@dataclass(frozen=True, slots=True)
class Counter:
    """A number that is kept in ``table.column`` of a row, and what it ought to be."""

    table: str
    column: str
    row_id: str
    kept: int
    counted: int

    @property
    def mendable(self) -> bool:
        """Tell whether it is only a number; the images of a version are more than that."""
        return self.table != "dataset_versions"


_COUNTERS = {
    ("tenants", "jobs_active"): f"SELECT t.id, t.jobs_active, {_ACTIVE} FROM tenants t",
    ("tenants", "bytes_used"): f"SELECT t.id, t.bytes_used, {_BYTES} FROM tenants t",
    ("jobs", "pending_children"): f"SELECT j.id, j.pending_children, {_PENDING} FROM jobs j",
    ("dataset_versions", "image_count"): """SELECT v.id, v.image_count,
        (SELECT count(*) FROM images i WHERE i.version_id = v.id) FROM dataset_versions v""",
}
_RECOUNTS = {
    "jobs_active": f"UPDATE tenants t SET jobs_active = {_ACTIVE} WHERE t.id = :id",
    "bytes_used": f"UPDATE tenants t SET bytes_used = {_BYTES} WHERE t.id = :id",
}


def wrong_counters(session: Session) -> list[Counter]:
    """Return every counter that is not what it counts; each kind in one snapshot."""
    found = []
    for (table, column), sql in _COUNTERS.items():
        wrong = text(f"SELECT * FROM ({sql}) AS c(id, kept, counted) WHERE kept <> counted")
        found += [Counter(table, column, *row) for row in session.execute(wrong)]
    return found


def recount_tenant(session: Session, counter: Counter) -> None:
    """Count anew under the row's lock.

    Who changes a counter does so after what it counts and in the same transaction, so that under
    the lock everything is counted once, either here or by the transaction that waits for it.
    """
    session.execute(select(Tenant.id).where(Tenant.id == counter.row_id).with_for_update())
    session.execute(text(_RECOUNTS[counter.column]), {"id": counter.row_id})


def artifact_sizes(session: Session) -> list[tuple[str, str, int]]:
    """Return (id, sha256, bytes) of all artifacts."""
    rows = session.execute(select(Artifact.id, Artifact.sha256, Artifact.bytes))
    return [(row[0], row[1], row[2]) for row in rows]


def uploads(session: Session) -> list[tuple[str, int]]:
    """Return (id, bytes received) of all uploads."""
    return [(row[0], row[1]) for row in session.execute(select(Upload.id, Upload.received))]
