"""JSON answers with an ETag, written without a second validation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from core.services.idempotency import Answer


def json_response(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return compact JSON."""
    text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text.encode(), status, dict(headers or {}), "application/json")


def answered(answer: Answer) -> Response:
    """Return the response of a creating request, the same bytes also when it was kept."""
    text = json.dumps(answer.body, ensure_ascii=False, allow_nan=False, sort_keys=True)
    return Response(text.encode(), answer.status, dict(answer.headers), "application/json")


def tagged(request: Request, body: Any) -> Response:
    """Return JSON with a weak ETag of the body, or 304 when the caller has it already."""
    response = json_response(body)
    tag = f'W/"{hashlib.sha256(response.body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if matches(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    response.headers.update(headers)
    return response


def matches(header: str | None, tag: str) -> bool:
    """Tell whether ``If-None-Match`` names the tag (weak comparison, RFC 9110 13.1.2)."""
    if header is None:
        return False
    wanted = tag.removeprefix("W/")
    given = [part.strip().removeprefix("W/") for part in header.split(",")]
    return "*" in given or wanted in given
