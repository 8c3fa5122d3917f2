"""Kept answers of creating requests."""

from __future__ import annotations

from sqlalchemy.orm import Session

from core.db.models import IdempotencyKey
from core.db.repositories.access import readable
from core.services.principal import Principal


def find(session: Session, principal: Principal, key: str) -> IdempotencyKey | None:
    """Return the answer kept under a key."""
    return session.scalar(readable(principal, IdempotencyKey).where(IdempotencyKey.key == key))
