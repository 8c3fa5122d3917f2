"""Tenants, API keys and browser sessions as whoever asks for access finds them.

Here a row is found by its secret's digest: there is no principal yet whose rows it could be among.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Row, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.db.models import ApiKey, BrowserSession, Tenant
from core.db.repositories.jobs import NOW
from core.ids import new_id


def tenant_named(session: Session, name: str) -> Tenant:
    """Return the tenant of this name, made when it is not there."""
    session.execute(
        insert(Tenant)
        .values(id=new_id("tnt"), name=name)
        .on_conflict_do_nothing(index_elements=[Tenant.name])
    )
    return session.scalars(select(Tenant).where(Tenant.name == name)).one()


def key_of(session: Session, hashed: str) -> Row[ApiKey, datetime] | None:
    """Return the key with this digest, and the database's time."""
    return session.execute(select(ApiKey, NOW).where(ApiKey.hash == hashed)).first()


def key_was_used(session: Session, key_id: str, now: datetime) -> None:
    """Note when a key was used last."""
    session.execute(update(ApiKey).where(ApiKey.id == key_id).values(last_used_at=now))


def any_key(session: Session) -> bool:
    """Tell whether there is a key that is not revoked."""
    return session.scalar(select(ApiKey.id).where(ApiKey.revoked_at.is_(None)).limit(1)) is not None


def redeem(
    session: Session, login_hash: str, cookie_hash: str, now: datetime, until: datetime
) -> Row[str, str] | None:
    """Make a login link a session with this cookie; its id and tenant, None unless it is fresh.

    Of several at once, one gets it.
    """
    return session.execute(
        update(BrowserSession)
        .where(
            BrowserSession.login_hash == login_hash,
            BrowserSession.cookie_hash.is_(None),
            BrowserSession.revoked_at.is_(None),
            BrowserSession.expires_at > now,
        )
        .values(cookie_hash=cookie_hash, expires_at=until, last_used_at=now)
        .returning(BrowserSession.id, BrowserSession.tenant_id)
        .execution_options(synchronize_session=False)
    ).first()


def session_of(session: Session, cookie_hash: str) -> Row[BrowserSession, datetime] | None:
    """Return the browser session with this cookie, and the database's time."""
    found = select(BrowserSession, NOW).where(BrowserSession.cookie_hash == cookie_hash)
    return session.execute(found).first()


def session_was_used(session: Session, session_id: str, now: datetime) -> None:
    """Note when a browser session was used last."""
    session.execute(
        update(BrowserSession).where(BrowserSession.id == session_id).values(last_used_at=now)
    )
