"""Uploads, datasets, their versions and images."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db.models.base import Base, Owned, now


class Dataset(Owned, Base):
    __tablename__ = "datasets"
    __table_args__ = (Index(None, "tenant_id", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]
    created_at: Mapped[datetime] = now()


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
    created_by: Mapped[str | None]
    """The key or session that asked for it."""
    created_at: Mapped[datetime] = now()


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
    created_at: Mapped[datetime] = now()
    expires_at: Mapped[datetime]
    completed_at: Mapped[datetime | None]
