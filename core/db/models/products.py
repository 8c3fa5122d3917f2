"""What jobs publish."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.db.models.base import Base, Owned, now


class Artifact(Owned, Base):
    __tablename__ = "artifacts"
    __table_args__ = (UniqueConstraint("job_id", "name"), Index(None, "sha256"))

    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    name: Mapped[str]
    sha256: Mapped[str]
    bytes: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str]
    created_at: Mapped[datetime] = now()


class TrainedModel(Owned, Base):
    __tablename__ = "models"
    __table_args__ = (Index(None, "tenant_id", "id"), Index(None, "job_id"))

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    created_by: Mapped[str | None]
    """The key or session that asked for it."""
    files: Mapped[dict[str, Any]]
    bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    info: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = now()


class Asset(Owned, Base):
    """What images are rendered with: a body or a background that a caller has sent."""

    __tablename__ = "assets"
    __table_args__ = (
        Index(None, "tenant_id", "id"),
        Index(None, "job_id"),
        Index("ix_assets_group_ids", "group_ids", postgresql_using="gin"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    licence: Mapped[str]
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    created_by: Mapped[str | None]
    """The key or session that asked for it."""
    group_ids: Mapped[list[str]]
    """The person, whose groups every image rendered with it has."""
    files: Mapped[dict[str, Any]]
    bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    info: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = now()


class Experiment(Owned, Base):
    __tablename__ = "experiments"
    __table_args__ = (Index(None, "tenant_id", "id"), Index(None, "job_id"))

    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    created_by: Mapped[str | None]
    """The key or session that asked for it."""
    dataset_version_id: Mapped[str] = mapped_column(ForeignKey("dataset_versions.id"))
    verdict: Mapped[dict[str, Any]]
    predictions_artifact_id: Mapped[str] = mapped_column(ForeignKey("artifacts.id"))
    created_at: Mapped[datetime] = now()
