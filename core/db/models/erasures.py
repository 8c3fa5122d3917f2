"""Erasures of persons, and what is still to go from the volume."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from core.db.models.base import Base, Owned, now


class Erasure(Owned, Base):
    """The removal of a person's or lesion's images; ``completed_at``: no byte is left."""

    __tablename__ = "erasures"
    __table_args__ = (Index("ix_erasures_group_hashes", "group_hashes", postgresql_using="gin"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    group_hashes: Mapped[list[str]]
    counts: Mapped[dict[str, Any]]
    actor_id: Mapped[str]
    request_id: Mapped[str]
    created_at: Mapped[datetime] = now()
    completed_at: Mapped[datetime | None]


class PendingRemoval(Base):
    """One thing on the volume that is to go; the row goes after it."""

    __tablename__ = "pending_removals"

    erasure_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
