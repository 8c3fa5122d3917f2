"""The one choke point of tenancy: every query on owned rows starts here."""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import Select, bindparam, inspect, select
from sqlalchemy.orm import Session

from core.db.models import Owned
from core.errors import NotFound
from core.services.principal import Principal

M = TypeVar("M", bound=Owned)


def readable(principal: Principal, model: type[M]) -> Select[M]:
    """Return the select of all rows of ``model`` that the principal may see."""
    return select(model).where(model.tenant_id == principal.tenant_id)


def newest_first(
    session: Session, principal: Principal, model: type[M], before: str | None, limit: int
) -> list[M]:
    """Return rows, newest first, with ids below ``before``."""
    identity: Any = inspect(model).primary_key[0]
    query = readable(principal, model).order_by(identity.desc()).limit(limit)
    if before is not None:
        query = query.where(identity < before)
    return list(session.scalars(query))


def readable_by_bound(model: type[M]) -> Select[M]:
    """Return :func:`readable` as a statement that is built once; run it with ``tenant_id``."""
    return select(model).where(model.tenant_id == bindparam("tenant_id"))


def owned(session: Session, principal: Principal, model: type[M], row_id: str, thing: str) -> M:
    """Return one row by id; NotFound (code ``<thing>_not_found``) also for another tenant's."""
    identity: Any = inspect(model).primary_key[0]
    row = session.scalar(readable(principal, model).where(identity == row_id))
    if row is None:
        raise NotFound(f"There is no {thing.replace('_', ' ')} {row_id}", code=f"{thing}_not_found")
    return row
