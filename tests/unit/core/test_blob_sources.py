"""No column that can hold the hash of a blob is forgotten by garbage collection."""

from __future__ import annotations

from sqlalchemy import Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from core.db.models import Base
from core.db.repositories.blob_references import SOURCES

NO_BLOBS = {
    "dataset_versions.manifest_sha256": "what the images are, not a file",
    "dataset_versions.classes": "counts",
    "images.metadata": "what the dataset said",
    "uploads.sha256": "of a file below uploads/",
    "experiments.verdict": "numbers; files are artifacts",
    "job_events.data": "phases and problems",
    "jobs.error": "a problem",
    "jobs.metrics": "numbers",
    "jobs.origin": "ids of a request, a trace and a key",
    "workers.gpus": "what the host has",
    "assets.info": "sizes and warnings",
    "models.info": "what it was trained on, by id",
    "workers.available": "what the host offers",
    "webhook_deliveries.payload": "ids and codes of a job",
    "webhook_deliveries.tries": "answers of a receiver",
    "audit_log.details": "counts and hashes of manifests; no file is kept for it",
    "erasures.group_hashes": "of ids",
    "erasures.counts": "counts",
    "idempotency_keys.headers": "an answer, repeated",
    "idempotency_keys.body": "an answer, repeated",
    "idempotency_keys.request_hash": "of a request",
    "api_keys.hash": "of a secret",
    "sessions.login_hash": "of a secret",
    "sessions.cookie_hash": "of a secret",
}
HASHED = ("sha256", "hash", "blob")


def test_every_column_that_can_hold_a_hash_is_a_source_or_said_not_to_be_one() -> None:
    """JSON columns, and texts and lists whose name speaks of a hash or a blob."""
    candidates = {
        f"{table.name}.{column.name}"
        for table in Base.metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, JSONB)
        or (isinstance(column.type, Text | ARRAY) and any(word in column.name for word in HASHED))
    }
    sources = {column for source in SOURCES for column in source.columns}
    assert candidates - sources == set(NO_BLOBS)
    assert sources <= candidates
