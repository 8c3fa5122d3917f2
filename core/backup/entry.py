"""Who may come in after a restore: a backup knows nothing of what was revoked after it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from core.db.repositories import snapshots
from core.db.repositories.jobs import database_now
from core.services.audit import record
from core.services.principal import system


@dataclass(frozen=True, slots=True)
class Entry:
    """How many sessions and keys were ended, and a line for each key that works."""

    sessions_ended: int
    keys_revoked: int
    keys: tuple[str, ...]


def close(session: Session, *, revoke_keys: bool) -> Entry:
    """End every browser session and login link; with ``revoke_keys`` every API key as well."""
    now = database_now(session)
    ended, keys = snapshots.open_sessions(session), snapshots.usable_keys(session)
    for row in ended:
        row.revoked_at = now
        record(session, system(row.tenant_id), "session.revoke", "session", row.id)
    if not revoke_keys:
        return Entry(len(ended), 0, tuple(f"{k.id} {k.hint} {k.name}" for k in keys))
    for key in keys:
        key.revoked_at = now
        record(session, system(key.tenant_id), "key.revoke", "key", key.id)
    return Entry(len(ended), len(keys), ())
