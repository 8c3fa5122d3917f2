"""The Idempotency-Key header, and what counts as the same request."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from starlette.concurrency import run_in_threadpool

from core.errors import FieldError, InvalidInput
from core.manifest import canonical_json
from core.services.idempotency import Once

MAX_LENGTH = 255


async def _once(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Repeating a request with the same key gives the same answer.",
            min_length=1,
            max_length=MAX_LENGTH,
        ),
    ] = None,
) -> Once | None:
    if idempotency_key is None:
        return None
    body = getattr(request, "_json", None)
    content = await run_in_threadpool(canonical_json, body)  # a body may hold 200,000 changes
    return keyed(request, idempotency_key, content)


OnceDep = Annotated[Once | None, Depends(_once)]


def keyed(request: Request, key: str | None, content: str) -> Once | None:
    """Return the key with the hash of method, path, query and content; None without a key."""
    if key is None:
        return None
    if not (key.isascii() and key.isprintable() and 1 <= len(key) <= MAX_LENGTH):
        detail = f"1 to {MAX_LENGTH} printable ASCII characters"
        raise InvalidInput(
            f"The Idempotency-Key must be {detail}",
            errors=[FieldError("/header/idempotency-key", detail)],
        )
    parts: list[Any] = [request.method, request.url.path, request.url.query, content]
    return Once(key, hashlib.sha256(canonical_json(parts).encode()).hexdigest())
