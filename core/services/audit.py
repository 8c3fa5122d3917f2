"""The audit log: who did what to which thing, in the transaction that did it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy.orm import Session

from core.db.models import AuditEntry
from core.ids import new_id
from core.services.principal import Principal

Action = Literal[
    "key.create",
    "key.rotate",
    "key.revoke",
    "session.login",
    "session.logout",
    "session.revoke",
    "dataset.create",
    "dataset.revise",
    "dataset.delete",
    "dataset.download",
    "upload.create",
    "upload.complete",
    "upload.delete",
    "group.erase_planned",
    "group.erase_done",
    "asset.create",
    "asset.delete",
    "job.create",
    "job.cancel",
    "export.download",
    "artifact.download",
    "webhook.create",
    "webhook.change",
    "webhook.rotate",
    "webhook.disable",
    "webhook.delete",
    "webhook.test",
    "webhook.redeliver",
    "retention.delete",
    "doctor.mend",
]
ActorKind = Literal["key", "session", "system"]


def record(
    session: Session,
    principal: Principal,
    action: Action,
    target_kind: str,
    target_id: str,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Append a row; it stands when the caller's transaction does.

    ``details`` are plain JSON without secrets, and without what an erasure must be able to remove:
    no file names, no image ids, no group ids.
    """
    session.add(
        AuditEntry(
            id=new_id("aud"),
            tenant_id=principal.tenant_id,
            actor_kind=actor_kind(principal.key_id),
            actor_id=principal.key_id,
            action=action,
            target_kind=target_kind,
            target_id=target_id,
            request_id=principal.request_id,
            details=dict(details or {}),
        )
    )


def actor_kind(actor_id: str) -> ActorKind:
    """Return what an actor's id is the id of."""
    if actor_id.startswith("key_"):
        return "key"
    return "session" if actor_id.startswith("ses_") else "system"
