"""Keys, browser sessions, repeated requests, and the log of who did what."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from core.db.models.base import Base, Owned, now


class ApiKey(Owned, Base):
    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    hash: Mapped[str] = mapped_column(unique=True)
    hint: Mapped[str]
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime] = now()
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    replaced_by: Mapped[str | None]
    """The key that a rotation made."""


class BrowserSession(Owned, Base):
    """A one-time login link, and the session cookie that it was exchanged for."""

    __tablename__ = "sessions"

    id: Mapped[str] = mapped_column(primary_key=True)
    login_hash: Mapped[str] = mapped_column(unique=True)
    cookie_hash: Mapped[str | None] = mapped_column(unique=True)
    created_at: Mapped[datetime] = now()
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


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
    created_at: Mapped[datetime] = now()


class AuditEntry(Base):
    """Who did what; a trigger refuses every change, and rows outlive their tenant."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index(None, "tenant_id", "id"),
        Index(None, "tenant_id", "target_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str]
    at: Mapped[datetime] = now()
    actor_kind: Mapped[str]
    actor_id: Mapped[str]
    action: Mapped[str]
    target_kind: Mapped[str]
    target_id: Mapped[str]
    request_id: Mapped[str]
    details: Mapped[dict[str, Any]]
