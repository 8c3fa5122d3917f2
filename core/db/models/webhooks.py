"""Web hooks and their outbox."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db.models.base import Base, Owned, now


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
    created_at: Mapped[datetime] = now()
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
    available_at: Mapped[datetime] = now()
    retry_until: Mapped[datetime]
    lease_token: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]
    tries: Mapped[list[Any]] = mapped_column(server_default="[]")
    """Rows {at, status_code, error, detail, seconds} of the last attempts."""
    created_at: Mapped[datetime] = now()
    finished_at: Mapped[datetime | None]
