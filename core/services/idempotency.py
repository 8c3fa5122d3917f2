"""The same creating request twice gives one thing and the same answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from core.db.models import IdempotencyKey
from core.db.repositories import idempotency as rows
from core.db.repositories.jobs import try_advisory_lock
from core.errors import Conflict, InvalidInput
from core.services.principal import Principal


@dataclass(frozen=True, slots=True)
class Answer:
    """What a creating request is answered: kept with the idempotency key."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Once:
    """An idempotency key and the hash of the request that came with it."""

    key: str
    request_hash: str


def once(
    session: Session, principal: Principal, wish: Once | None, create: Callable[[], Answer]
) -> tuple[Answer, bool]:
    """Create, or repeat the answer of the first time; True beside an answer that is a repetition.

    Conflict while another request with the key is still being worked on; InvalidInput
    ``idempotency_key_reused`` when the key came with another request.
    """
    if (known := begin(session, principal, wish)) is not None:
        return known, True
    answer = create()
    keep(session, principal, wish, answer)
    return answer, False


def begin(session: Session, principal: Principal, wish: Once | None) -> Answer | None:
    """Hold the key until the transaction ends; return the answer of the first time, if any.

    Errors are those of :func:`once`.
    """
    if wish is None:
        return None
    if not try_advisory_lock(session, f"idempotency:{principal.tenant_id}:{wish.key}"):
        raise in_progress()
    return repeated(session, principal, wish)


def keep(session: Session, principal: Principal, wish: Once | None, answer: Answer) -> None:
    """Keep the answer of a request that came with a key."""
    if wish is not None:
        session.add(
            IdempotencyKey(
                tenant_id=principal.tenant_id,
                key=wish.key,
                request_hash=wish.request_hash,
                status=answer.status,
                headers=answer.headers,
                body=answer.body,
            )
        )


def in_progress() -> Conflict:
    """Return the refusal of a request whose key another one holds."""
    return Conflict(
        "A request with this Idempotency-Key is still being worked on",
        code="idempotency_in_progress",
        retry_after=1,
    )


def repeated(session: Session, principal: Principal, wish: Once | None) -> Answer | None:
    """Return the answer of the first time; InvalidInput ``idempotency_key_reused``."""
    known = None if wish is None else rows.find(session, principal, wish.key)
    if wish is None or known is None:
        return None
    if known.request_hash != wish.request_hash:
        raise InvalidInput(
            "This Idempotency-Key came with another request before",
            code="idempotency_key_reused",
        )
    return Answer(known.status, known.headers, known.body)
