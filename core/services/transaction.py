"""The boundary at which things are committed: a request, or an attempt of a job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session, sessionmaker

from core.services.hints import post_hints

_HINTS = "hints"


def want_hint(session: Session, job_id: str, queue: str) -> None:
    """Remember a hint that goes out once the transaction has been committed."""
    session.info.setdefault(_HINTS, []).append((job_id, queue))


@contextmanager
def transaction(factory: sessionmaker[Session]) -> Iterator[Session]:
    """Yield a session; commit at the end, then send its hints; roll back on any error."""
    with factory() as session:
        with session.begin():
            yield session
        post_hints(session.info.pop(_HINTS, []))
