"""A log that may grow while it is read: exactly the bytes that were promised are sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.byte_ranges import byte_range
from api.problem import http_problem, problem_response

CHUNK = 64 * 1024


def log_response(request: Request, path: Path) -> Response:
    """Return the file or a range of it; a file that is not there yet is empty."""
    size = path.stat().st_size if path.is_file() else 0
    wanted = byte_range(request.headers.get("range"))
    headers = {"Accept-Ranges": "bytes", "Cache-Control": "no-store"}
    if wanted is None:
        return _part(path, 0, size, 200, headers)
    start, end = wanted.bounds(size)
    if start >= end:
        members = http_problem(416, f"The log has {size} bytes")
        return problem_response(request.scope, members, {"Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return _part(path, start, end, 206, headers)


def _part(path: Path, start: int, end: int, status: int, headers: dict[str, str]) -> Response:
    headers["Content-Length"] = str(end - start)
    chunks = _chunks(path, start, end) if end > start else iter(())
    return StreamingResponse(chunks, status, headers, "text/plain; charset=utf-8")


def _chunks(path: Path, start: int, end: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < end:
            data = file.read(min(CHUNK, end - start))
            if not data:
                return
            start += len(data)
            yield data
