"""SQL of erasures that were decided, and of the files that are still to go."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, cast

from sqlalchemy import delete, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.db.models import Erasure, PendingRemoval
from core.db.repositories.access import readable
from core.db.repositories.jobs import database_now
from core.services.principal import Principal

Kind = Literal["image", "blob", "upload", "job"]
"""image: a blob with thumbnails and features; job: its log and its staging."""
_ROWS = 10_000


def add(session: Session, erasure_id: str, wanted: Mapping[Kind, Collection[str]]) -> None:
    """Write down what is to go from the volume."""
    rows = [
        {"erasure_id": erasure_id, "kind": kind, "name": name}
        for kind, names in wanted.items()
        for name in sorted(names)
    ]
    for start in range(0, len(rows), _ROWS):
        session.execute(insert(PendingRemoval), rows[start : start + _ROWS])


def unfinished(session: Session) -> list[str]:
    """Return the ids of erasures of which something is left."""
    query = select(Erasure.id).where(Erasure.completed_at.is_(None)).order_by(Erasure.id)
    orphans = select(PendingRemoval.erasure_id).distinct()
    return sorted({*session.scalars(query), *session.scalars(orphans)})


def images_left(session: Session, erasure_id: str) -> list[str]:
    """Return the images, by sha256, that are still to go."""
    return list(
        session.scalars(
            select(PendingRemoval.name).where(
                PendingRemoval.erasure_id == erasure_id, PendingRemoval.kind == "image"
            )
        )
    )


def left(session: Session, erasure_id: str, limit: int) -> list[tuple[Kind, str]]:
    """Return some of what is left of an erasure."""
    query = (
        select(PendingRemoval.kind, PendingRemoval.name)
        .where(PendingRemoval.erasure_id == erasure_id)
        .order_by(PendingRemoval.kind, PendingRemoval.name)
        .limit(limit)
    )
    return [(cast(Kind, row[0]), row[1]) for row in session.execute(query)]


def done(session: Session, erasure_id: str, taken: Collection[tuple[Kind, str]]) -> None:
    """Forget what has gone."""
    session.execute(
        delete(PendingRemoval).where(
            PendingRemoval.erasure_id == erasure_id,
            tuple_(PendingRemoval.kind, PendingRemoval.name).in_(taken),
        )
    )


def complete(session: Session, erasure_id: str) -> Erasure | None:
    """Note that nothing is left; None when that was noted before, or its tenant has gone."""
    row = session.scalar(
        select(Erasure)
        .where(Erasure.id == erasure_id, Erasure.completed_at.is_(None))
        .with_for_update()
    )
    if row is not None:
        row.completed_at = database_now(session)
    return row


def of_group(session: Session, principal: Principal, group_hash: str) -> Erasure | None:
    """Return the newest erasure of a group."""
    query = readable(principal, Erasure).where(Erasure.group_hashes.contains([group_hash]))
    return session.scalar(query.order_by(Erasure.id.desc()).limit(1))
