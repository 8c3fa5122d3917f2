"""SQL of web hooks and of their outbox.

Locks are always taken in the order web hook, delivery. A job that ends takes FOR KEY SHARE on the
web hooks it tells, which waits for nothing but their deletion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, delete, exists, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from core.db.models import Tenant, Webhook, WebhookDelivery
from core.db.repositories.access import readable
from core.db.repositories.jobs import NOW, database_now, seconds_from_now
from core.errors import NotFound
from core.ids import new_id
from core.services.principal import Principal

_PENDING = WebhookDelivery.status == "pending"


def count_locked(session: Session, tenant_id: str) -> int:
    """Count a tenant's web hooks; two that create at once count one after the other."""
    session.execute(select(Tenant.id).where(Tenant.id == tenant_id).with_for_update(key_share=True))
    query = select(func.count()).select_from(Webhook).where(Webhook.tenant_id == tenant_id)
    return session.scalar(query) or 0


def locked(session: Session, principal: Principal, webhook_id: str) -> Webhook:
    """Return one web hook, locked; NotFound also for another tenant's."""
    query = readable(principal, Webhook).where(Webhook.id == webhook_id)
    row: Webhook | None = session.scalar(_lock(query).execution_options(populate_existing=True))
    if row is None:
        raise NotFound(f"There is no web hook {webhook_id}", code="webhook_not_found")
    return row


def _lock(query: Any) -> Any:
    return query.with_for_update(key_share=True)


def newest_deliveries(
    session: Session, webhook: Webhook, status: str | None, before: str | None, limit: int
) -> list[WebhookDelivery]:
    """Return deliveries of a web hook, newest first, older than ``before``."""
    query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook.id)
    if status is not None:
        query = query.where(WebhookDelivery.status == status)
    if before is not None:
        query = query.where(WebhookDelivery.id < before)
    return list(session.scalars(query.order_by(WebhookDelivery.id.desc()).limit(limit)))


def delivery_of(session: Session, webhook: Webhook, delivery_id: str) -> WebhookDelivery:
    """Return one delivery of a locked web hook; NotFound when it has none with this id."""
    row = session.scalar(
        select(WebhookDelivery).where(
            WebhookDelivery.id == delivery_id, WebhookDelivery.webhook_id == webhook.id
        )
    )
    if row is None:
        raise NotFound(f"There is no delivery {delivery_id}", code="webhook_delivery_not_found")
    return row


def listening(session: Session, tenant_id: str, event: str, kind: str) -> list[Webhook]:
    """Return the web hooks that want an event, kept from being deleted until the commit."""
    query = (
        select(Webhook)
        .where(
            Webhook.tenant_id == tenant_id,
            Webhook.disabled_at.is_(None),
            Webhook.events.contains([event]),
            or_(func.cardinality(Webhook.kinds) == 0, Webhook.kinds.contains([kind])),
        )
        .order_by(Webhook.id)
        .with_for_update(read=True, key_share=True)
    )
    return list(session.scalars(query))


def add_delivery(
    session: Session,
    webhook: Webhook,
    event: str,
    job_id: str | None,
    payload: dict[str, Any],
    retry_seconds: float,
) -> WebhookDelivery:
    """Write a message into the outbox."""
    row = WebhookDelivery(
        id=new_id("whd"),
        tenant_id=webhook.tenant_id,
        webhook_id=webhook.id,
        event=event,
        job_id=job_id,
        payload=payload,
        retry_until=seconds_from_now(retry_seconds),
    )
    session.add(row)
    session.flush()
    return row


@dataclass(frozen=True, slots=True)
class Claim:
    """Which attempt of which delivery a sender holds."""

    delivery_id: str
    webhook_id: str
    token: str


def claim(session: Session, *, failing: bool, most: int, lease_seconds: float) -> list[Claim]:
    """Take the oldest due delivery of up to ``most`` web hooks, one of each.

    ``failing``: of those whose last attempt failed, or of the others. A web hook that a delivery
    is under way to is passed over, as is one that another sender is looking at.
    """
    if most <= 0:
        return []
    state = Webhook.failing_since.is_not(None) if failing else Webhook.failing_since.is_(None)
    due, taken = _due(), _taken()
    found = session.scalars(
        _due_webhooks(and_(state, due, ~taken))
        .limit(most)
        .with_for_update(key_share=True, skip_locked=True)
    ).all()
    # once more under the locks: another sender may have committed since the snapshot
    oldest = (
        select(WebhookDelivery.id)
        .ext(distinct_on(WebhookDelivery.webhook_id))
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(
            Webhook.id.in_(found), Webhook.disabled_at.is_(None), ~taken,
            _PENDING, WebhookDelivery.available_at <= NOW,
        )
        .order_by(WebhookDelivery.webhook_id, WebhookDelivery.available_at, WebhookDelivery.id)
    )  # fmt: skip
    token = new_id("req")
    rows = session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.id.in_(oldest), _PENDING)
        .values(
            lease_token=token,
            lease_expires_at=seconds_from_now(lease_seconds),
            attempts=WebhookDelivery.attempts + 1,
        )
        .returning(WebhookDelivery.id, WebhookDelivery.webhook_id)
        .execution_options(synchronize_session=False)
    )
    return [Claim(row[0], row[1], token) for row in rows]


def _due_webhooks(condition: Any) -> Any:
    """Return those that were tried longest ago first, so that none is passed over for ever."""
    return (
        select(Webhook.id)
        .where(Webhook.disabled_at.is_(None), condition)
        .order_by(Webhook.attempted_at.nulls_first(), Webhook.id)
    )


def _due() -> Any:
    return exists().where(
        WebhookDelivery.webhook_id == Webhook.id, _PENDING, WebhookDelivery.available_at <= NOW
    )


def _taken() -> Any:
    other = WebhookDelivery.__table__.alias("other")
    return exists().where(
        other.c.webhook_id == Webhook.id,
        other.c.status == "pending",
        other.c.lease_expires_at > NOW,
    )


def lock_claimed(session: Session, held: Claim) -> tuple[Webhook, WebhookDelivery] | None:
    """Lock what a claim is on; None when it was lost, or ended or deleted by somebody else."""
    webhook = session.scalar(_lock(select(Webhook).where(Webhook.id == held.webhook_id)))
    delivery = session.scalar(
        _lock(
            select(WebhookDelivery).where(
                WebhookDelivery.id == held.delivery_id,
                WebhookDelivery.lease_token == held.token,
                _PENDING,
            )
        )
    )
    return None if webhook is None or delivery is None else (webhook, delivery)


def disable(session: Session, webhook: Webhook, reason: str) -> None:
    """Switch a locked web hook off; what was still to be sent has failed."""
    webhook.disabled_at = database_now(session)
    webhook.disabled_reason = reason
    session.flush()
    session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.webhook_id == webhook.id, _PENDING)
        .values(status="failed", finished_at=NOW, lease_token=None, lease_expires_at=None)
        .execution_options(synchronize_session=False)
    )
    session.expire_all()


def make_due(session: Session, webhook: Webhook) -> None:
    """Let nothing of a locked web hook wait any longer: its address has been changed."""
    session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.webhook_id == webhook.id, _PENDING)
        .values(available_at=NOW)
        .execution_options(synchronize_session=False)
    )


def remove(session: Session, webhook: Webhook) -> None:
    """Delete a web hook with its deliveries."""
    session.execute(delete(Webhook).where(Webhook.id == webhook.id))


_FORGET = text("""
    DELETE FROM webhook_deliveries WHERE id IN (
        SELECT id FROM webhook_deliveries
        WHERE finished_at < clock_timestamp() - make_interval(secs => :seconds)
        LIMIT :most FOR UPDATE SKIP LOCKED)
""")


def forget_older(session: Session, seconds: float, most: int = 10_000) -> None:
    """Delete deliveries that ended longer than ``seconds`` ago."""
    session.execute(_FORGET, {"seconds": seconds, "most": most})


def pending(session: Session, webhooks: Sequence[str]) -> dict[str, int]:
    """Return how many deliveries each web hook still waits for; those with none are absent."""
    rows = session.execute(
        select(WebhookDelivery.webhook_id, func.count())
        .where(WebhookDelivery.webhook_id.in_(webhooks), _PENDING)
        .group_by(WebhookDelivery.webhook_id)
    )
    return {row[0]: row[1] for row in rows}
