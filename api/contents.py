"""Files as answers: ranges, strong ETags, and nothing that a browser would run."""

from __future__ import annotations

from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from api.answers import matches
from api.byte_ranges import ByteRange, byte_range
from api.problem import http_problem, problem_response

SANDBOX = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"


class ContentResponse(FileResponse):
    """A file; a malformed or multiple range is ignored, an impossible one is a 416 problem."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wanted = Headers(scope=scope).get("range")
        if wanted is not None:
            found = byte_range(wanted)
            size = Path(self.path).stat().st_size
            given = Headers(scope=scope).get("if-range", self.headers["etag"])
            if found is None or given.strip() != self.headers["etag"]:
                scope = _without_range(scope)
            elif not _within(found, size):
                members = http_problem(416, f"The content has {size} bytes")
                headers = {"Content-Range": f"bytes */{size}"}
                await problem_response(scope, members, headers)(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


def _within(wanted: ByteRange, size: int) -> bool:
    start, stop = wanted.bounds(size)
    return start < stop


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
