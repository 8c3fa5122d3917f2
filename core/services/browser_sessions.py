"""One-time login links and the session cookies that they are exchanged for."""

from __future__ import annotations

import secrets
from datetime import timedelta

from sqlalchemy.orm import Session, sessionmaker

from core.db.models import BrowserSession
from core.db.repositories import credentials
from core.db.repositories.jobs import database_now
from core.errors import Unauthorized
from core.ids import new_id
from core.services.audit import Action, record
from core.services.keys import USED_EVERY, digest, ensure_tenant
from core.services.principal import SCOPES, Principal

LOGIN_MINUTES = 24 * 60
COOKIE_DAYS = 30


def new_login_token(session: Session, tenant_id: str) -> str:
    """Return a secret that one browser may exchange for a session cookie, once."""
    token = secrets.token_urlsafe(32)
    expires = database_now(session) + timedelta(minutes=LOGIN_MINUTES)
    session.add(
        BrowserSession(
            id=new_id("ses"), tenant_id=tenant_id, login_hash=digest(token), expires_at=expires
        )
    )
    session.flush()
    return token


def login_token(factory: sessionmaker[Session]) -> str:
    """Return a fresh one-time login token of the default tenant."""
    with factory.begin() as session:
        return new_login_token(session, ensure_tenant(session).id)


def redeem_login_token(session: Session, token: str, request_id: str = "") -> str:
    """Exchange a login token for a cookie's value; Unauthorized when used, expired, unknown."""
    now = database_now(session)
    cookie = secrets.token_urlsafe(32)
    until = now + timedelta(days=COOKIE_DAYS)
    redeemed = credentials.redeem(session, digest(token), digest(cookie), now, until)
    if redeemed is None:
        raise Unauthorized("The link was used or has expired", code="invalid_login_link")
    principal = Principal(redeemed.tenant_id, redeemed.id, frozenset(SCOPES), request_id)
    record(session, principal, "session.login", "session", redeemed.id)
    return cookie


def authenticate_cookie(session: Session, cookie: str) -> Principal:
    """Return whose session this is; it has every scope of its tenant."""
    found = credentials.session_of(session, digest(cookie))
    if found is None or found[0].revoked_at is not None or found[0].expires_at <= found[1]:
        raise Unauthorized("The session has expired", code="invalid_session")
    row, now = found
    if row.last_used_at is None or now - row.last_used_at > USED_EVERY:
        credentials.session_was_used(session, row.id, now)
    return Principal(row.tenant_id, row.id, frozenset(SCOPES))


def end_session(session: Session, principal: Principal, row: BrowserSession) -> None:
    """Make a session or an unused link useless, for good; the time of the first end stays."""
    if row.revoked_at is None:
        row.revoked_at = database_now(session)
        action: Action = "session.logout" if row.id == principal.key_id else "session.revoke"
        record(session, principal, action, "session", row.id)
