"""One attempt to deliver: read and sign, send outside any transaction, write what came of it."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from core.config import Settings
from core.db.models import Webhook, WebhookDelivery
from core.db.repositories import webhooks
from core.db.repositories.jobs import database_now, seconds_from_now
from core.db.repositories.webhooks import Claim
from core.errors import DermSynthError
from core.services.audit import record
from core.services.job_view import stamp
from core.services.principal import system
from core.services.webhooks import keys_of, policy
from core.webhooks.connection import Failed
from core.webhooks.sending import Received, post
from core.webhooks.signature import signed_headers

GROWTH = 4.0
KEPT_TRIES = 20
LEASE_MARGIN_SECONDS = 60.0
"""Beyond the timeout of a delivery: for a slow resolver, and a database that is away briefly."""

Post = Callable[..., Received]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one attempt: an answer, or an error."""

    started: datetime
    seconds: float
    received: Received | None = None
    error: str | None = None
    detail: str | None = None

    @property
    def taken(self) -> bool:
        return self.received is not None and self.received.taken

    def row(self) -> dict[str, Any]:
        return {
            "at": stamp(self.started),
            "seconds": round(self.seconds, 3),
            "status_code": None if self.received is None else self.received.status,
            "error": self.error,
            "detail": self.detail,
        }


def claim_due(
    factory: sessionmaker[Session], settings: Settings, *, failing: bool, most: int
) -> list[Claim]:
    """Take due deliveries, one of each web hook; nobody else sends them while the lease lasts."""
    lease = settings.webhook_timeout_seconds + LEASE_MARGIN_SECONDS
    with factory.begin() as session:
        return webhooks.claim(session, failing=failing, most=most, lease_seconds=lease)


def deliver(
    factory: sessionmaker[Session], settings: Settings, held: Claim, send: Post = post
) -> bool:
    """Make one attempt; True when the receiver took it.

    An attempt that is broken off leaves its lease, and is made again when that has run out.
    """
    with factory() as session:
        found = webhooks.lock_claimed(session, held)
        if found is None:
            return False
        message = _Message.of(session, *found)
    attempt = _attempt(message, settings, send)
    with factory.begin() as session:
        locked = webhooks.lock_claimed(session, held)
        if locked is not None:
            _settle(session, *locked, attempt, settings)
    return attempt.taken


@dataclass(frozen=True, slots=True)
class _Message:
    """All that is needed to send, read in one transaction."""

    id: str
    url: str
    body: bytes
    keys: tuple[str, ...]
    unreadable: str | None

    @classmethod
    def of(cls, session: Session, webhook: Webhook, delivery: WebhookDelivery) -> _Message:
        text = json.dumps(
            delivery.payload, ensure_ascii=False, separators=(",", ":"), sort_keys=True
        )
        try:
            keys, unreadable = tuple(keys_of(session, webhook)), None
        except DermSynthError as error:
            keys, unreadable = (), error.detail
        return cls(delivery.id, webhook.url, text.encode(), keys, unreadable)


def _attempt(message: _Message, settings: Settings, send: Post) -> Attempt:
    started, clock = datetime.now(UTC), time.monotonic()
    if message.unreadable:
        return Attempt(started, 0.0, error="secret_unreadable", detail=message.unreadable)
    headers = signed_headers(message.id, int(started.timestamp()), message.body, message.keys)
    try:
        received = send(
            message.url, message.body, headers, policy(settings), settings.webhook_timeout_seconds
        )
    except Failed as failure:
        seconds = time.monotonic() - clock
        return Attempt(started, seconds, error=failure.code, detail=failure.detail)
    seconds = time.monotonic() - clock
    if received.taken:
        return Attempt(started, seconds, received)
    detail = "Redirects are not followed" if 300 <= received.status < 400 else None
    return Attempt(started, seconds, received, "not_taken", detail)


def _settle(
    session: Session,
    webhook: Webhook,
    delivery: WebhookDelivery,
    attempt: Attempt,
    settings: Settings,
) -> None:
    """Write what came of an attempt, both rows locked."""
    now = database_now(session)
    delivery.tries = [*delivery.tries, attempt.row()][-KEPT_TRIES:]
    delivery.lease_token = delivery.lease_expires_at = None
    webhook.attempted_at = now
    if attempt.taken:
        delivery.status, delivery.finished_at = "delivered", now
        webhook.failing_since, webhook.succeeded_at = None, now
        return
    webhook.failing_since = webhook.failing_since or now
    if attempt.received is not None and attempt.received.gone:
        _switch_off(session, webhook, "the receiver answered 410 Gone")
        return
    if now - webhook.failing_since > timedelta(days=settings.webhook_disable_days):
        _switch_off(session, webhook, f"it has failed since {stamp(webhook.failing_since)}")
        return
    asked: float = attempt.received.retry_after if attempt.received is not None else 0
    delay = max(
        backoff(delivery.attempts, settings), min(asked, settings.webhook_backoff_max_seconds)
    )
    if now + timedelta(seconds=delay) > delivery.retry_until:
        delivery.status, delivery.finished_at = "failed", now
    else:
        delivery.available_at = seconds_from_now(delay)


def _switch_off(session: Session, webhook: Webhook, reason: str) -> None:
    webhooks.disable(session, webhook, reason)
    details = {"reason": reason}
    record(session, system(webhook.tenant_id), "webhook.disable", "webhook", webhook.id, details)


def backoff(
    attempts: int, settings: Settings, chance: Callable[[], float] = random.random
) -> float:
    """Return the seconds before the next attempt: times four each time, bounded, 75 to 125 %."""
    grown: float = settings.webhook_backoff_seconds * GROWTH ** min(max(attempts, 1) - 1, 20)
    bounded: float = min(settings.webhook_backoff_max_seconds, grown)
    return bounded * (0.75 + 0.5 * chance())
