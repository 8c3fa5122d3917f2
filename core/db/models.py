"""All tables, typed (SQLAlchemy 2); the migrations in ``migrations/`` make exactly these."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Float,
    ForeignKey,
    Index,
    MetaData,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from core.jobs.states import JobStatus

STATUSES = ", ".join(f"'{status}'" for status in JobStatus)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text(),
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(),
        list[Any]: JSONB(),
        list[str]: ARRAY(Text()),
    }


def _now() -> Any:
    return mapped_column(server_default=func.clock_timestamp())


class Tenant(Base):
    """Who owns things.

    ``jobs_active`` counts its unfinished jobs without a parent; ``bytes_used`` what it keeps:
    versions, artifacts, models and uploads, each with all its bytes, also where blobs are shared.
    Writers add to it; a trigger takes off what is deleted, in whatever way.
    """

    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    jobs_active: Mapped[int] = mapped_column(server_default="0")
    max_active_jobs: Mapped[int | None]
    bytes_used: Mapped[int] = mapped_column(BigInteger, server_default="0")
    max_bytes: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = _now()


class Owned:
    """Rows that a tenant owns."""

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"))


class ApiKey(Owned, Base):
    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    hash: Mapped[str] = mapped_column(unique=True)
    hint: Mapped[str]
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime] = _now()
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class BrowserSession(Owned, Base):
    """A one-time login link, and the session cookie that it was exchanged for."""

    __tablename__ = "sessions"

    id: Mapped[str] = mapped_column(primary_key=True)
    login_hash: Mapped[str] = mapped_column(unique=True)
    cookie_hash: Mapped[str | None] = mapped_column(unique=True)
    created_at: Mapped[datetime] = _now()
    expires_at: Mapped[datetime]


class Worker(Base):
    """A worker process as it last reported itself."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    queues: Mapped[list[str]]
    slots: Mapped[int]
    available: Mapped[list[Any]]
    """Rows {capability, name, ok, reason, fix}."""
    started_at: Mapped[datetime] = _now()
    last_seen: Mapped[datetime] = _now()


class Dataset(Owned, Base):
    __tablename__ = "datasets"
    __table_args__ = (Index(None, "tenant_id", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]
    created_at: Mapped[datetime] = _now()


class DatasetVersion(Owned, Base):
    """Immutable; ``manifest_blob`` is the truth and ``images`` its index."""

    __tablename__ = "dataset_versions"
    __table_args__ = (
        UniqueConstraint("dataset_id", "number"),
        Index(None, "tenant_id", "id"),
        Index(None, "manifest_blob"),
        Index(None, "job_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"))
    number: Mapped[int]
    kind: Mapped[str]
    parents: Mapped[list[str]]
    licence: Mapped[str]
    manifest_blob: Mapped[str]
    manifest_sha256: Mapped[str]
    image_count: Mapped[int]
    bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """Of its manifest, images and annotations."""
    classes: Mapped[list[Any]]
    info: Mapped[dict[str, Any]]
    job_id: Mapped[str | None]
    created_at: Mapped[datetime] = _now()


class Image(Owned, Base):
    """One image of one version; the same image_id may stand in several versions."""

    __tablename__ = "images"
    __table_args__ = (
        Index(None, "image_id"),
        Index(None, "version_id", "label", "position"),
        Index(None, "version_id", "position"),
        Index("ix_images_group_ids", "group_ids", postgresql_using="gin"),
        Index("ix_images_sha256", "sha256"),
        Index(
            "ix_images_annotations",
            text("jsonb_path_query_array(provenance, '$.\"annotations\".*'::jsonpath)"),
            postgresql_using="gin",
            postgresql_where=text("provenance ? 'annotations'"),
        ),
    )

    version_id: Mapped[str] = mapped_column(
        ForeignKey("dataset_versions.id", ondelete="CASCADE"), primary_key=True
    )
    image_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]
    filename: Mapped[str]
    label: Mapped[str]
    sha256: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    media_type: Mapped[str]
    modality: Mapped[str]
    split: Mapped[str]
    source: Mapped[str]
    quarantined: Mapped[bool]
    group_ids: Mapped[list[str]]
    parents: Mapped[list[str]]
    details: Mapped[dict[str, Any]] = mapped_column("metadata")
    provenance: Mapped[dict[str, Any]]


class Upload(Owned, Base):
    __tablename__ = "uploads"
    __table_args__ = (
        Index("ix_uploads_open", "tenant_id", postgresql_where=text("completed_at IS NULL")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    filename: Mapped[str]
    length: Mapped[int] = mapped_column(BigInteger)
    received: Mapped[int] = mapped_column(BigInteger, server_default="0")
    sha256: Mapped[str | None]
    created_at: Mapped[datetime] = _now()
    expires_at: Mapped[datetime]
    completed_at: Mapped[datetime | None]


class Job(Owned, Base):
    """The queue of record.

    ``attempt`` counts what max_attempts limits; ``claims`` counts every claim, names the staging
    folder and, with ``lease_token``, fences the commit. ``uncounted`` makes the next claim free of
    charge (merge phase, drained worker).
    """

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(f"status IN ({STATUSES})", name="status"),
        CheckConstraint("pending_children >= 0", name="pending_children"),
        Index(None, "tenant_id", "id"),
        # lists by kind and by state, newest first, at any number of jobs
        Index("ix_jobs_by_kind", "tenant_id", "kind", "id"),
        Index("ix_jobs_by_status", "tenant_id", "status", "id"),
        Index(None, "parent_id", "ordinal"),
        Index(
            "ix_jobs_waiting",  # a job's place in its queue
            "queue",
            "id",
            postgresql_where=text("status = 'queued' AND pending_children = 0"),
        ),
        Index(
            "ix_jobs_claimable",
            "queue",
            "available_at",
            postgresql_where=text("status = 'queued' AND pending_children = 0"),
        ),
        Index("ix_jobs_leases", "lease_expires_at", postgresql_where=text("status = 'running'")),
        Index("ix_jobs_ended_roots", "finished_at", postgresql_where=text("parent_id IS NULL")),
        Index("ix_jobs_labels", "labels", postgresql_using="gin"),
        Index("ix_jobs_dataset_ids", "dataset_ids", postgresql_using="gin"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=JobStatus.QUEUED)
    queue: Mapped[str]
    params: Mapped[dict[str, Any]]
    inputs: Mapped[dict[str, Any]]
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    labels: Mapped[list[str]] = mapped_column(server_default="{}")
    dataset_ids: Mapped[list[str]] = mapped_column(server_default="{}")
    metrics: Mapped[dict[str, Any]] = mapped_column(server_default="{}")

    attempt: Mapped[int] = mapped_column(server_default="0")
    max_attempts: Mapped[int]
    claims: Mapped[int] = mapped_column(server_default="0")
    uncounted: Mapped[bool] = mapped_column(server_default="false")
    timeout_seconds: Mapped[float] = mapped_column(Float)
    available_at: Mapped[datetime] = _now()
    hinted_at: Mapped[datetime | None]
    lease_token: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]
    worker_id: Mapped[str | None]
    checkpoint: Mapped[dict[str, Any] | None]

    parent_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    ordinal: Mapped[int] = mapped_column(server_default="0")
    role: Mapped[str] = mapped_column(server_default="")
    weight: Mapped[float] = mapped_column(Float, server_default="1")
    pending_children: Mapped[int] = mapped_column(server_default="0")
    round_start: Mapped[int] = mapped_column(server_default="0")
    """Ordinal of the first child of the current round."""
    span_start: Mapped[float] = mapped_column(Float, server_default="0")
    span_end: Mapped[float] = mapped_column(Float, server_default="1")

    phase: Mapped[str] = mapped_column(server_default="queued")
    progress_current: Mapped[float] = mapped_column(Float, server_default="0")
    progress_total: Mapped[float] = mapped_column(Float, server_default="1")
    last_seq: Mapped[int] = mapped_column(server_default="0")

    created_at: Mapped[datetime] = _now()
    started_at: Mapped[datetime | None]
    phase_started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]


class JobEvent(Base):
    """What happened to a job; ``seq`` has no gaps."""

    __tablename__ = "job_events"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str]
    data: Mapped[dict[str, Any]]
    at: Mapped[datetime] = _now()


class JobBlob(Base):
    """A blob that an unfinished job has on the volume and that nothing else may refer to yet.

    What shards and checkpoints publish; the rows of a tree count until its root has ended.
    """

    __tablename__ = "job_blobs"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    sha256: Mapped[str] = mapped_column(primary_key=True, index=True)


class Artifact(Owned, Base):
    __tablename__ = "artifacts"
    __table_args__ = (UniqueConstraint("job_id", "name"), Index(None, "sha256"))

    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    name: Mapped[str]
    sha256: Mapped[str]
    bytes: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str]
    created_at: Mapped[datetime] = _now()


class TrainedModel(Owned, Base):
    __tablename__ = "models"
    __table_args__ = (Index(None, "tenant_id", "id"), Index(None, "job_id"))

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    files: Mapped[dict[str, Any]]
    bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    info: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = _now()


class Experiment(Owned, Base):
    __tablename__ = "experiments"
    __table_args__ = (Index(None, "tenant_id", "id"), Index(None, "job_id"))

    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    dataset_version_id: Mapped[str] = mapped_column(ForeignKey("dataset_versions.id"))
    verdict: Mapped[dict[str, Any]]
    predictions_artifact_id: Mapped[str] = mapped_column(ForeignKey("artifacts.id"))
    created_at: Mapped[datetime] = _now()


class IdempotencyKey(Owned, Base):
    """The answer that a creating POST gave, kept for its repetitions."""

    __tablename__ = "idempotency_keys"

    tenant_id: Mapped[str] = mapped_column(
        ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True
    )
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[str]
    status: Mapped[int]
    headers: Mapped[dict[str, Any]]
    body: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = _now()


class Webhook(Owned, Base):
    """An address that is told when jobs end; secrets are sealed.

    ``failing_since`` is the first failure after the last success. While ``previous_until`` is to
    come, deliveries carry a second signature with the secret that was replaced.
    """

    __tablename__ = "webhooks"
    __table_args__ = (Index(None, "tenant_id", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    url: Mapped[str]
    events: Mapped[list[str]]
    kinds: Mapped[list[str]]
    """Job kinds; empty: all."""
    secret: Mapped[str]
    previous_secret: Mapped[str | None]
    previous_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = _now()
    attempted_at: Mapped[datetime | None]
    succeeded_at: Mapped[datetime | None]
    failing_since: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None]


class WebhookDelivery(Owned, Base):
    """The outbox: one message to one web hook, written in the transaction that it tells of."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'delivered', 'failed')", name="status"),
        Index(None, "webhook_id", "id"),
        Index(
            "ix_webhook_deliveries_due",
            "webhook_id",
            "available_at",
            postgresql_where=text("status = 'pending'"),
        ),
        Index("ix_webhook_deliveries_finished_at", "finished_at"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    event: Mapped[str]
    job_id: Mapped[str | None]
    payload: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(server_default="pending")
    attempts: Mapped[int] = mapped_column(server_default="0")
    available_at: Mapped[datetime] = _now()
    retry_until: Mapped[datetime]
    lease_token: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]
    tries: Mapped[list[Any]] = mapped_column(server_default="[]")
    """Rows {at, status_code, error, detail, seconds} of the last attempts."""
    created_at: Mapped[datetime] = _now()
    finished_at: Mapped[datetime | None]
