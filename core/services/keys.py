"""API keys; secrets are stored as HMAC-SHA256 only."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

from sqlalchemy.orm import Session, sessionmaker

from core.config import get_settings
from core.db.models import ApiKey, Tenant
from core.db.repositories import credentials, products
from core.db.repositories.jobs import database_now
from core.errors import Conflict, Forbidden, InvalidInput, Unauthorized
from core.ids import new_id
from core.pointers import invalid
from core.services.audit import record
from core.services.principal import SCOPES, Principal, system

PREFIX = "dsk_"
DEFAULT_TENANT = "default"
_PEPPER_BYTES = 32
USED_EVERY = timedelta(seconds=60)
"""The time of the last use is written at most so often."""


@lru_cache(maxsize=4)
def _pepper(data_dir: Path, configured: str) -> bytes:
    if configured:
        return configured.encode()
    path = data_dir / "secrets" / "pepper"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f"pepper.{os.getpid()}.{secrets.token_hex(4)}")
    partial.touch(mode=0o600)
    with partial.open("wb") as file:
        file.write(secrets.token_bytes(_PEPPER_BYTES))
        file.flush()
        os.fsync(file.fileno())  # the keys in the database are worth nothing without it
    try:
        os.link(partial, path)  # the first one wins, also between processes
    except FileExistsError:
        pass
    finally:
        partial.unlink()
    pepper = path.read_bytes()
    if len(pepper) < _PEPPER_BYTES:
        raise RuntimeError(f"{path} is damaged: {len(pepper)} of {_PEPPER_BYTES} bytes")
    return pepper


def digest(secret: str) -> str:
    """Return the HMAC-SHA256 of a secret under the service's pepper, as hex."""
    settings = get_settings()
    pepper = _pepper(settings.data_dir, settings.key_pepper)
    return hmac.new(pepper, secret.encode(), hashlib.sha256).hexdigest()


def _with_checksum(body: str) -> str:
    return f"{PREFIX}{body}{zlib.crc32(body.encode()):08x}"


def looks_like_key(text: str) -> bool:
    """Tell by the checksum whether a text can be a key, without asking the database."""
    body, checksum = text[len(PREFIX) : -8], text[-8:]
    return text.startswith(PREFIX) and checksum == f"{zlib.crc32(body.encode()):08x}"


def ensure_tenant(session: Session, name: str = DEFAULT_TENANT) -> Tenant:
    """Return the tenant of this name, made when it is not there."""
    return credentials.tenant_named(session, name)


def create_key(
    session: Session,
    tenant_id: str,
    name: str,
    scopes: Iterable[str],
    expires_at: datetime | None = None,
    *,
    creator: Principal | None = None,
) -> tuple[ApiKey, str]:
    """Create a key; the secret that is returned beside the row is never shown again.

    ``creator``: who asks; None is the service's own command line.
    """
    wanted = sorted(set(scopes))
    if unknown := [scope for scope in wanted if scope not in SCOPES]:
        raise InvalidInput(
            f"Unknown scopes {', '.join(unknown)}; known: {', '.join(SCOPES)}",
            code="unknown_scope",
        )
    secret = _with_checksum(secrets.token_urlsafe(32))
    row = ApiKey(
        id=new_id("key"),
        tenant_id=tenant_id,
        name=name,
        hash=digest(secret),
        hint=f"{secret[:8]}…",
        scopes=wanted,
        expires_at=expires_at,
    )
    session.add(row)
    session.flush()
    session.refresh(row)
    record(session, creator or system(tenant_id), "key.create", "key", row.id, {"scopes": wanted})
    return row, secret


@dataclass(frozen=True, slots=True)
class Verified:
    """Whose key it is, and for how many more seconds; None when it does not expire."""

    principal: Principal
    seconds_left: float | None


def require_scopes(principal: Principal, scopes: Iterable[str]) -> None:
    """Refuse a caller that would hand out, or take over, what it may not do itself."""
    if beyond := sorted(set(scopes) - principal.scopes):
        raise Forbidden(f"This key has no scope {', '.join(beyond)} to give", code="missing_scope")


def require_future(session: Session, expires_at: datetime | None) -> None:
    """Refuse an expiry that has passed."""
    if expires_at is not None and expires_at <= database_now(session):
        raise invalid("/expires_at", "The time has passed")


def rotate_key(
    session: Session,
    principal: Principal,
    key_id: str,
    overlap: timedelta,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Make the successor of a key; the old one works on for ``overlap``, or to its own expiry.

    The new key has the name and scopes of the old one and, unless ``expires_at`` says otherwise,
    lives as long as the old one was made to. Conflict ``key_not_usable`` for a key that is revoked
    or expired, ``key_already_rotated`` for one that has a successor.
    """
    old = products.lock_key(session, principal, key_id)
    require_scopes(principal, old.scopes)
    require_future(session, expires_at)
    now = database_now(session)
    if old.replaced_by is not None:
        raise Conflict(
            f"{old.id} was rotated already; rotate {old.replaced_by}", code="key_already_rotated"
        )
    if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= now):
        raise Conflict("The key has expired or was revoked; make a new one", code="key_not_usable")
    if expires_at is None and old.expires_at is not None:
        expires_at = now + (old.expires_at - old.created_at)
    new, secret = create_key(
        session, old.tenant_id, old.name, old.scopes, expires_at, creator=principal
    )
    end = now + overlap
    old.expires_at = end if old.expires_at is None else min(old.expires_at, end)
    old.replaced_by = new.id
    session.flush()
    seconds = int(overlap.total_seconds())
    details = {"replaced_by": new.id, "overlap_seconds": seconds}
    record(session, principal, "key.rotate", "key", old.id, details)
    return new, secret


def revoke_key(session: Session, principal: Principal, key_id: str) -> None:
    """Make a key useless, for good; a second time changes nothing."""
    row = products.lock_key(session, principal, key_id)
    if row.revoked_at is None:
        row.revoked_at = database_now(session)
        record(session, principal, "key.revoke", "key", row.id)


def authenticate_key(session: Session, secret: str) -> Principal:
    """Return whose key this is; Unauthorized when unknown, expired or revoked."""
    return verify_key(session, secret, digest(secret)).principal


def verify_key(session: Session, secret: str, hashed: str) -> Verified:
    """Look up a key by its digest; Unauthorized when unknown, expired or revoked."""
    found = credentials.key_of(session, hashed) if looks_like_key(secret) else None
    if found is None:
        raise Unauthorized("The API key is not known", code="invalid_key")
    row, now = found
    left = None if row.expires_at is None else (row.expires_at - now).total_seconds()
    if row.revoked_at is not None or (left is not None and left <= 0):
        raise Unauthorized("The API key has expired or was revoked", code="key_expired")
    if row.last_used_at is None or now - row.last_used_at > USED_EVERY:
        credentials.key_was_used(session, row.id, now)
    return Verified(Principal(row.tenant_id, row.id, frozenset(row.scopes)), left)


def has_keys(session: Session) -> bool:
    """Tell whether any usable key exists."""
    return credentials.any_key(session)


def create_admin_key(name: str = "admin") -> str:
    """Create a key with every scope from the server's own command line; returns the secret."""
    from core.db.session import sessions

    with sessions().begin() as session:
        _, secret = create_key(session, ensure_tenant(session).id, name, SCOPES)
    return secret


def ensure_first_key(factory: sessionmaker[Session], path: Path) -> None:
    """Write a working key with every scope to ``path`` (mode 0600), unless it holds one."""
    with factory.begin() as session:
        if path.is_file():
            try:
                authenticate_key(session, path.read_text().strip())
            except Unauthorized:
                path.unlink()
            else:
                return
        tenant = ensure_tenant(session)
        _, secret = create_key(session, tenant.id, "embedded stack", SCOPES)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secret + "\n")
