"""Web hooks of a tenant: creating, changing, replacing the secret, sending again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from core.config import Settings, get_settings
from core.db.models import Webhook, WebhookDelivery
from core.db.repositories import webhooks
from core.db.repositories.jobs import NOW, database_now, seconds_from_now
from core.errors import Conflict, DermSynthError, UnknownName
from core.ids import new_id
from core.pointers import invalid
from core.services.audit import record
from core.services.job_view import stamp
from core.services.principal import Principal
from core.services.sealing import seal, unseal
from core.services.submit import public_kinds
from core.services.webhook_outbox import check_enabled, ping, retry_seconds
from core.webhooks.addresses import Policy, Refused, check_url, parse_networks
from core.webhooks.signature import PREFIX, new_secret


def policy(settings: Settings) -> Policy:
    """Return where the operator allows web hooks to go."""
    return Policy(parse_networks(settings.webhook_networks), settings.webhook_http)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller wants of a web hook; None leaves what is there."""

    url: str | None = None
    name: str | None = None
    events: Sequence[str] | None = None
    kinds: Sequence[str] | None = None
    enabled: bool | None = None


def create(session: Session, principal: Principal, wanted: Wanted) -> tuple[Webhook, str]:
    """Create a web hook; the secret that is returned beside it is never shown again."""
    _check(wanted)
    limit = get_settings().max_webhooks
    if webhooks.count_locked(session, principal.tenant_id) >= limit:
        raise Conflict(
            f"There are {limit} web hooks already: delete one first", code="too_many_webhooks"
        )
    secret = new_secret()
    row = Webhook(
        id=new_id("whk"),
        tenant_id=principal.tenant_id,
        name=wanted.name or "",
        url=wanted.url,
        events=_unique(wanted.events or ()),
        kinds=_unique(wanted.kinds or ()),
        secret=_sealed(secret),
    )
    session.add(row)
    session.flush()
    session.refresh(row)
    record(session, principal, "webhook.create", "webhook", row.id, _told(row))
    return row, secret


def _told(webhook: Webhook) -> dict[str, Any]:
    """Return what the audit log keeps: where messages go, without a path that may be a secret."""
    return {
        "host": urlsplit(webhook.url).hostname,
        "events": webhook.events,
        "kinds": webhook.kinds,
        "enabled": webhook.disabled_at is None,
    }


def change(session: Session, principal: Principal, webhook: Webhook, wanted: Wanted) -> None:
    """Change a locked web hook; a new address, or enabling it, starts with a clean record."""
    _check(wanted)
    moved = wanted.url is not None and wanted.url != webhook.url
    if wanted.url is not None:
        webhook.url = wanted.url
    if wanted.name is not None:
        webhook.name = wanted.name
    if wanted.events is not None:
        webhook.events = _unique(wanted.events)
    if wanted.kinds is not None:
        webhook.kinds = _unique(wanted.kinds)
    if wanted.enabled is False and webhook.disabled_at is None:
        webhooks.disable(session, webhook, "switched off by its owner")
    elif wanted.enabled and webhook.disabled_at is not None:
        webhook.disabled_at = webhook.disabled_reason = webhook.failing_since = None
    if moved:
        webhook.failing_since = None
        webhooks.make_due(session, webhook)
    session.flush()
    session.refresh(webhook)
    record(session, principal, "webhook.change", "webhook", webhook.id, _told(webhook))


def remove(session: Session, principal: Principal, webhook: Webhook) -> None:
    """Delete a locked web hook with its deliveries."""
    record(session, principal, "webhook.delete", "webhook", webhook.id)
    webhooks.remove(session, webhook)


def rotate(session: Session, principal: Principal, webhook: Webhook) -> str:
    """Give a locked web hook a new secret; for some hours both of them sign."""
    secret = new_secret()
    webhook.previous_secret = webhook.secret
    webhook.previous_until = seconds_from_now(get_settings().webhook_overlap_hours * 3600)
    webhook.secret = _sealed(secret)
    session.flush()
    session.refresh(webhook)
    record(session, principal, "webhook.rotate", "webhook", webhook.id)
    return secret


def test(session: Session, principal: Principal, webhook: Webhook) -> WebhookDelivery:
    """Send a message of type ``ping``."""
    delivery = ping(session, webhook)
    session.refresh(delivery)
    record(session, principal, "webhook.test", "webhook", webhook.id, {"delivery": delivery.id})
    return delivery


def redeliver(
    session: Session, principal: Principal, webhook: Webhook, delivery: WebhookDelivery
) -> None:
    """Send a delivery of a locked web hook once more, with retries as if it were new."""
    check_enabled(webhook)
    delivery.status = "pending"
    delivery.attempts = 0
    delivery.available_at = NOW
    delivery.retry_until = seconds_from_now(retry_seconds())
    delivery.finished_at = None
    details = {"delivery": delivery.id}
    record(session, principal, "webhook.redeliver", "webhook", webhook.id, details)
    session.flush()
    session.refresh(delivery)


def keys_of(session: Session, webhook: Webhook) -> list[str]:
    """Return the secrets that sign now; DermSynthError when this service cannot read them."""
    keys = [opened(webhook.secret)]
    until = webhook.previous_until
    if webhook.previous_secret and until is not None and until > database_now(session):
        keys.append(opened(webhook.previous_secret))
    return keys


def _sealed(secret: str) -> str:
    """Return the secret behind a nonce of its own: one is never used for two secrets."""
    nonce = new_id("req")
    return f"{nonce}:{seal(nonce, secret)}"


def opened(sealed: str) -> str:
    """Return a sealed secret; DermSynthError when the service's own secret is another one."""
    nonce, _, text = sealed.partition(":")
    try:
        secret = unseal(nonce, text)
    except ValueError:
        secret = ""
    if not secret.startswith(PREFIX):
        raise DermSynthError(
            "The secret was sealed under another DERMSYNTH_KEY_PEPPER: rotate it",
            code="secret_unreadable",
        )
    return secret


def _check(wanted: Wanted) -> None:
    if wanted.url is not None:
        try:
            check_url(wanted.url, policy(get_settings()))
        except Refused as reason:
            raise invalid("/url", reason.detail, f"webhook_{reason.code}") from reason
    known = [kind.name for kind in public_kinds()]
    for index, kind in enumerate(wanted.kinds or ()):
        if kind not in known:
            raise UnknownName("job_kind", kind, known, f"/kinds/{index}")


def _unique(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))


def view(webhook: Webhook, waiting: int) -> dict[str, Any]:
    """Return a web hook as a JSON object, without its secret."""
    return {
        "id": webhook.id,
        "name": webhook.name,
        "url": webhook.url,
        "events": webhook.events,
        "kinds": webhook.kinds,
        "enabled": webhook.disabled_at is None,
        "disabled_at": stamp(webhook.disabled_at),
        "disabled_reason": webhook.disabled_reason,
        "failing_since": stamp(webhook.failing_since),
        "succeeded_at": stamp(webhook.succeeded_at),
        "pending": waiting,
        "previous_secret_until": stamp(webhook.previous_until),
        "created_at": stamp(webhook.created_at),
    }


def delivery_view(row: WebhookDelivery) -> dict[str, Any]:
    """Return a delivery as a JSON object."""
    waits = row.status == "pending"
    return {
        "id": row.id,
        "webhook_id": row.webhook_id,
        "event": row.event,
        "job_id": row.job_id,
        "status": row.status,
        "attempts": row.attempts,
        "next_attempt_at": stamp(row.available_at) if waits else None,
        "created_at": stamp(row.created_at),
        "finished_at": stamp(row.finished_at),
        "tries": row.tries,
        "payload": row.payload,
    }
