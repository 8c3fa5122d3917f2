"""Files as answers: ranges, strong ETags, and nothing that a browser would run."""

from __future__ import annotations

import re
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from api.answers import matches
from api.problem import http_problem, problem_response

SANDBOX = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))")


class ContentResponse(FileResponse):
    """A file; a malformed or multiple range is ignored, an impossible one is a 416 problem."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wanted = Headers(scope=scope).get("range")
        if wanted is not None:
            match = _RANGE.fullmatch(wanted.strip())
            size = Path(self.path).stat().st_size
            given = Headers(scope=scope).get("if-range", self.headers["etag"])
            if match is None or _backwards(match) or given.strip() != self.headers["etag"]:
                scope = _without_range(scope)
            elif _impossible(match, size):
                members = http_problem(416, f"The content has {size} bytes")
                headers = {"Content-Range": f"bytes */{size}"}
                await problem_response(scope, members, headers)(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


def _backwards(match: re.Match[str]) -> bool:
    return bool(match[1] and match[2]) and int(match[2]) < int(match[1])


def _impossible(match: re.Match[str], size: int) -> bool:
    if match[3] is not None:
        return int(match[3]) == 0 or size == 0
    return int(match[1]) >= size


def _without_range(scope: Scope) -> Scope:
    return {**scope, "headers": [item for item in scope["headers"] if item[0] != b"range"]}


def content(
    request: Request,
    path: Path,
    sha256: str,
    media_type: str,
    *,
    filename: str | None = None,
) -> Response:
    """Return an immutable file under its hash; with ``filename`` as a download."""
    headers = {
        "ETag": f'"{sha256}"',
        "Cache-Control": "private, max-age=31536000, immutable",
        "Content-Security-Policy": SANDBOX,
    }
    if matches(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return ContentResponse(path, headers=headers, media_type=media_type, filename=filename)
