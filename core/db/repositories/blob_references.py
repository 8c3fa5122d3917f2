"""Every way in which the database refers to a blob: the only home of this knowledge.

One query a source. A blob that no source names is garbage once it is old enough; ``columns`` lists
what a source reads, and a test holds it against the tables, so that a new column that can hold a
hash is either a source or stated not to be one.

The lock: who writes a reference shares it from before the blob is seen on the volume to the end of
the transaction (:func:`share`); who removes blobs has it alone (:func:`exclude`) while it looks at
the references and unlinks. So no reference is ever written to a blob that is being removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

_LOCK = "hashtextextended('blobs', 0)"
_ANNOTATIONS = """jsonb_path_query_array(i.provenance, '$."annotations".*'::jsonpath)"""
_UNFINISHED = """
    WITH RECURSIVE unfinished AS (
        SELECT id FROM jobs WHERE parent_id IS NULL AND status IN ('queued', 'running')
        UNION ALL
        SELECT j.id FROM jobs j JOIN unfinished u ON j.parent_id = u.id
    )"""


@dataclass(frozen=True, slots=True)
class Source:
    """One way to refer to blobs.

    ``sql`` yields (sha256, owner); ``only`` restricts it to ``:blobs``. What is not ``certain``
    may also be the hash of something else: it keeps a blob, but does not prove that one is missing.
    """

    name: str
    columns: frozenset[str]
    sql: str
    only: str
    certain: bool = True


SOURCES = (
    Source(
        "image",
        frozenset({"images.sha256"}),
        "SELECT i.sha256, i.image_id || ' of ' || i.version_id FROM images i WHERE TRUE",
        "AND i.sha256 = ANY(:blobs)",
    ),
    Source(
        "annotation",
        frozenset({"images.provenance"}),
        f"""SELECT a.sha256, i.image_id || ' of ' || i.version_id
        FROM images i, jsonb_array_elements_text({_ANNOTATIONS}) AS a(sha256)
        WHERE i.provenance ? 'annotations'""",
        f"AND {_ANNOTATIONS} ?| :blobs",
    ),
    Source(
        "manifest",
        frozenset({"dataset_versions.manifest_blob"}),
        "SELECT v.manifest_blob, v.id FROM dataset_versions v WHERE TRUE",
        "AND v.manifest_blob = ANY(:blobs)",
    ),
    Source(
        "rejects",
        frozenset({"dataset_versions.info"}),
        """SELECT v.info ->> 'rejects_blob', v.id FROM dataset_versions v
        WHERE v.info ->> 'rejects_blob' IS NOT NULL""",
        "AND v.info ->> 'rejects_blob' = ANY(:blobs)",
    ),
    Source(
        "artifact",
        frozenset({"artifacts.sha256"}),
        "SELECT a.sha256, a.id || ' (' || a.name || ')' FROM artifacts a WHERE TRUE",
        "AND a.sha256 = ANY(:blobs)",
    ),
    Source(
        "model",
        frozenset({"models.files"}),
        """SELECT f.value, f.key || ' of ' || m.id
        FROM models m, jsonb_each_text(m.files) f WHERE TRUE""",
        "AND f.value = ANY(:blobs)",
    ),
    Source(
        "asset",
        frozenset({"assets.files"}),
        """SELECT f.value, f.key || ' of ' || a.id
        FROM assets a, jsonb_each_text(a.files) f WHERE TRUE""",
        "AND f.value = ANY(:blobs)",
    ),
    Source(
        "unfinished job",
        frozenset({"job_blobs.sha256"}),
        f"""{_UNFINISHED}
        SELECT b.sha256, b.job_id FROM job_blobs b JOIN unfinished u ON u.id = b.job_id
        WHERE TRUE""",
        "AND b.sha256 = ANY(:blobs)",
    ),
    Source(
        "mention by an unfinished job",
        frozenset({"jobs.params", "jobs.inputs", "jobs.result", "jobs.checkpoint"}),
        f"""{_UNFINISHED}
        SELECT m.found[1], j.id FROM jobs j JOIN unfinished u USING (id),
            regexp_matches(
                concat_ws(' ', j.params, j.inputs, j.result, j.checkpoint), '[0-9a-f]{{64}}', 'g'
            ) AS m(found)
        WHERE TRUE""",
        "AND m.found[1] = ANY(:blobs)",
        certain=False,
    ),
)


@dataclass(frozen=True, slots=True)
class Reference:
    """Who refers to a blob."""

    sha256: str
    source: str
    owner: str


def among(session: Session, blobs: Iterable[str]) -> set[str]:
    """Return those of the blobs that anything refers to."""
    left = set(blobs)
    found: set[str] = set()
    for source in SOURCES:
        if not left:
            break
        rows = session.execute(text(f"{source.sql} {source.only}"), {"blobs": sorted(left)})
        named = {row[0] for row in rows} & left
        found |= named
        left -= named
    return found


def certain(session: Session) -> Iterator[Reference]:
    """Yield every reference to a blob that must be there, source by source."""
    for source in SOURCES:
        if source.certain:
            rows = session.execute(text(source.sql).execution_options(yield_per=5000))
            for sha256, owner in rows:
                yield Reference(sha256, source.name, owner)


def share(session: Session) -> None:
    """Keep blobs from being removed until the transaction ends; many may do so at once."""
    # between two statements, the files of a large version are looked at on a volume far away
    patience = "set_config('idle_in_transaction_session_timeout', '15min', true)"
    session.execute(text(f"SELECT pg_advisory_xact_lock_shared({_LOCK}), {patience}"))


def share_connection(session: Session) -> None:
    """Keep blobs from being removed until the session's connection ends, through transactions."""
    session.execute(text(f"SELECT pg_advisory_lock_shared({_LOCK})"))


def exclude(session: Session, wait_seconds: float) -> None:
    """Keep references from being written until the transaction ends.

    OperationalError when those who share the lock take longer than ``wait_seconds``.
    """
    limit = text("SELECT set_config('lock_timeout', :limit, true)")
    session.execute(limit, {"limit": f"{int(wait_seconds * 1000)}ms"})
    session.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))


def still_excluded(session: Session) -> None:
    """Raise what the database says when it has ended the transaction meanwhile, and the lock."""
    session.execute(text("SELECT 1"))


def keep_for_job(session: Session, job_id: str, blobs: Iterable[str]) -> None:
    """Keep blobs until the job's whole tree has ended; the job's row must be locked."""
    wanted = sorted(set(blobs))
    if not wanted:
        return
    session.execute(
        text(
            "INSERT INTO job_blobs (job_id, sha256) SELECT :job, unnest(CAST(:blobs AS text[]))"
            " ON CONFLICT DO NOTHING"
        ),
        {"job": job_id, "blobs": wanted},
    )


def forget_ended(session: Session) -> None:
    """Delete the rows of trees that have ended."""
    session.execute(
        text(f"{_UNFINISHED} DELETE FROM job_blobs WHERE job_id NOT IN (SELECT id FROM unfinished)")
    )
