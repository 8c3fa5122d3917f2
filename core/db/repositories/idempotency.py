"""Kept answers of creating requests."""

from __future__ import annotations

from sqlalchemy import delete
from sqlalchemy.orm import Session

from core.db.models import IdempotencyKey
from core.db.repositories.access import readable
from core.db.repositories.jobs import seconds_from_now
from core.services.principal import Principal


def find(session: Session, principal: Principal, key: str) -> IdempotencyKey | None:
    """Return the answer kept under a key."""
    return session.scalar(readable(principal, IdempotencyKey).where(IdempotencyKey.key == key))


def forget_older(session: Session, seconds: float) -> None:
    """Delete answers that are older than ``seconds``: nobody repeats a request that late."""
    session.execute(
        delete(IdempotencyKey).where(IdempotencyKey.created_at < seconds_from_now(-seconds))
    )
