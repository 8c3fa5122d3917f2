"""What receivers are told, written in the transaction that it tells of.

Messages are thin: ids, kind and state of a job, and the code of its error. Details may name files,
and files are often named after patients; whoever may know them asks the API.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from core.config import get_settings
from core.db.models import Job, Webhook, WebhookDelivery
from core.db.repositories import webhooks
from core.db.repositories.jobs import database_now
from core.errors import Conflict
from core.jobs.states import TERMINAL, JobStatus
from core.services.job_view import stamp

JOB_EVENTS = tuple(f"job.{status}" for status in JobStatus if status in TERMINAL)
PING = "ping"


def announce(session: Session, job: Job) -> None:
    """Tell all who want to know that a locked job has just ended."""
    event = f"job.{job.status}"
    listening = webhooks.listening(session, job.tenant_id, event, job.kind)
    if not listening:
        return
    payload = _message(event, job.finished_at, _of_job(job))
    for webhook in listening:
        webhooks.add_delivery(session, webhook, event, job.id, payload, retry_seconds())


def ping(session: Session, webhook: Webhook) -> WebhookDelivery:
    """Send a locked web hook a message that tells of nothing; Conflict when it is off."""
    check_enabled(webhook)
    payload = _message(PING, database_now(session), {"webhook_id": webhook.id})
    return webhooks.add_delivery(session, webhook, PING, None, payload, retry_seconds())


def check_enabled(webhook: Webhook) -> None:
    """Refuse to queue what would not be sent."""
    if webhook.disabled_at is not None:
        raise Conflict("The web hook is switched off: enable it first", code="webhook_disabled")


def retry_seconds() -> float:
    """Return for how long a delivery is tried."""
    return get_settings().webhook_give_up_hours * 3600


def _message(event: str, at: Any, data: dict[str, Any]) -> dict[str, Any]:
    return {"type": event, "timestamp": stamp(at), "data": data}


def _of_job(job: Job) -> dict[str, Any]:
    error = job.error or {}
    return {
        "job_id": job.id,
        "kind": job.kind,
        "status": job.status,
        "labels": list(job.labels or ()),
        "error": {"code": error.get("code"), "title": error.get("title")} if error else None,
        "created_at": stamp(job.created_at),
        "started_at": stamp(job.started_at),
        "finished_at": stamp(job.finished_at),
        "url": f"/v1/jobs/{job.id}",
    }
