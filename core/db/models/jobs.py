"""Jobs and the workers that run them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Float,
    ForeignKey,
    Identity,
    Index,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from core.db.models.base import Base, Owned, now
from core.jobs.states import JobStatus

STATUSES = ", ".join(f"'{status}'" for status in JobStatus)


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
    gpus: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))
    """Rows {uuid, name, used_bytes, total_bytes}."""
    started_at: Mapped[datetime] = now()
    last_seen: Mapped[datetime] = now()


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
    available_at: Mapped[datetime] = now()
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

    created_at: Mapped[datetime] = now()
    started_at: Mapped[datetime | None]
    phase_started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    origin: Mapped[dict[str, Any] | None]
    """What asked for it: {request_id, traceparent, actor}; children have their parent's."""


class JobEvent(Base):
    """What happened to a job; ``seq`` has no gaps."""

    __tablename__ = "job_events"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str]
    data: Mapped[dict[str, Any]]
    at: Mapped[datetime] = now()


class JobBlob(Base):
    """A blob that an unfinished job has on the volume and that nothing else may refer to yet.

    What shards and checkpoints publish; the rows of a tree count until its root has ended.
    """

    __tablename__ = "job_blobs"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    sha256: Mapped[str] = mapped_column(primary_key=True, index=True)


class JobCharge(Owned, Base):
    """Bytes that came with a job and that its tenant pays for until they are garbage.

    Photographs sent for a prediction: nothing but the job refers to them.
    """

    __tablename__ = "job_charges"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    bytes: Mapped[int] = mapped_column(BigInteger)


class JobMeasure(Base):
    """Something that happened to a job, or a delivery that ended; folded into totals.

    Triggers on ``jobs`` and ``webhook_deliveries`` write it; of a delivery, ``kind`` is its event.
    """

    __tablename__ = "job_measures"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=False), primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]
    detail: Mapped[str] = mapped_column(server_default="")
    value: Mapped[float | None] = mapped_column(Float)


class JobTotal(Base):
    """How many measures there were, by name, kind, detail and upper bound of the value.

    They outlive the jobs: what is counted never becomes less when old jobs are deleted.
    """

    __tablename__ = "job_totals"

    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    detail: Mapped[str] = mapped_column(primary_key=True)
    bound: Mapped[float] = mapped_column(Float, primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[float] = mapped_column(Float)
