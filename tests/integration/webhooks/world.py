"""What tests of web hooks do to jobs, hooks and deliveries."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, update

from core.config import Settings
from core.db.models import Webhook, WebhookDelivery
from core.db.repositories.jobs import seconds_from_now
from core.services import webhook_outbox
from core.services import webhooks as service
from core.services.webhook_sending import claim_due, deliver
from core.services.webhooks import Wanted
from tests.integration.engine import Engine

EVENTS = list(webhook_outbox.JOB_EVENTS)


def hook(engine: Engine, url: str, **wanted: Any) -> tuple[str, str]:
    """Create a web hook; returns its id and secret."""
    with engine.sessions.begin() as session:
        options = {"events": EVENTS} | wanted
        row, secret = service.create(session, engine.principal, Wanted(url=url, **options))
        return row.id, secret


def row_of(engine: Engine, webhook_id: str) -> Webhook:
    with engine.sessions() as session:
        return session.get_one(Webhook, webhook_id)


def deliveries(engine: Engine) -> list[WebhookDelivery]:
    with engine.sessions() as session:
        return list(session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id)))


def only(engine: Engine) -> WebhookDelivery:
    (found,) = deliveries(engine)
    return found


def end(engine: Engine, how: str = "succeeded", kind: str = "noop") -> str:
    """Run a job to its end."""
    job_id = engine.submit(kind, **({"seconds": 0.0} if kind == "sleep" else {}))
    if how == "canceled":
        engine.cancel(job_id)
        return job_id
    lease = engine.claim(job_id)
    assert lease is not None
    assert engine.commit(lease) if how == "succeeded" else engine.give_up(lease, "fail")
    return job_id


def send_due(engine: Engine, **settings: Any) -> list[bool]:
    """Make every attempt that is due, one after the other."""
    chosen = Settings(**settings)
    claims = [
        held
        for failing in (False, True)
        for held in claim_due(engine.sessions, chosen, failing=failing, most=100)
    ]
    return [deliver(engine.sessions, chosen, held) for held in claims]


def make_due(engine: Engine) -> None:
    with engine.sessions.begin() as session:
        session.execute(update(WebhookDelivery).values(available_at=seconds_from_now(-1)))
