"""SQL of what jobs publish besides versions: artifacts, models, experiments; and of API keys."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db.models import ApiKey, Image
from core.db.repositories.access import readable
from core.errors import NotFound
from core.services.principal import Principal


def lock_key(session: Session, principal: Principal, key_id: str) -> ApiKey:
    """Lock a key, so that of two changes at once the second sees the first."""
    row = session.scalar(
        readable(principal, ApiKey)
        .where(ApiKey.id == key_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if row is None:
        raise NotFound(f"There is no key {key_id}", code="key_not_found")
    return row


def visible_blobs(session: Session, principal: Principal, blobs: set[str]) -> set[str]:
    """Return those of the blobs that are pixels of one of the principal's images."""
    query = select(Image.sha256).where(
        Image.tenant_id == principal.tenant_id, Image.sha256.in_(blobs)
    )
    return set(session.scalars(query.distinct()))
