"""Resumable uploads: the server's offset is the truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from api.client.failures import ApiProblem, ServerUnreachable, UnexpectedAnswer, UploadFailed
from api.client.records import Upload, parse
from api.client.sources import Source, sha256_of
from api.client.transport import Transport, decoded, path_of, problem_of

CHUNK_BYTES = 8 * 1024**2
PATCH_TIMEOUT = 600.0
"""Seconds; the last chunk is answered after the server has checked the hash of everything."""

Tell = Callable[[str, int, int], None]
"""Told (phase, bytes done, bytes in all); the phases are ``checking`` and ``sending``."""


class Uploads:
    """``/v1/uploads``."""

    def __init__(self, transport: Transport, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._transport = transport
        self._chunk_bytes = chunk_bytes

    def send(
        self, source: Source, *, upload_id: str | None = None, tell: Tell | None = None
    ) -> Upload:
        """Send all of a source, or the rest of upload ``upload_id``; returns the finished upload.

        UploadFailed carries the id when the server could not be reached or refused midway.
        """
        say = tell or _silent
        upload = self.create(source, say) if upload_id is None else Upload(id=upload_id)
        try:
            self._send_rest(source, upload.id, say)
        except (ApiProblem, ServerUnreachable) as error:
            raise UploadFailed(f"Upload {upload.id} stopped: {error}", upload.id) from error
        return Upload(id=upload.id, length=source.length)

    def create(self, source: Source, tell: Tell) -> Upload:
        """Announce an upload: its length and its hash."""
        digest = sha256_of(source, lambda done: tell("checking", done, source.length))
        answer = self._transport.create(
            path_of("uploads"), {"length": source.length, "sha256": digest}
        )
        body: Any = decoded(answer) if answer.content else {}
        if isinstance(body, dict) and "id" not in body and "location" in answer.headers:
            body = {**body, "id": answer.headers["location"].rstrip("/").rpartition("/")[2]}
        return parse(Upload, body)

    def offset(self, upload_id: str, length: int) -> int:
        """Ask how many bytes the server holds."""
        answer = self._transport.send("HEAD", path_of("uploads", upload_id))
        announced = _whole_number(answer, "upload-length")
        if announced != length:
            raise UnexpectedAnswer(
                f"Upload {upload_id} is one of {announced} bytes, this source has {length}."
            )
        return _whole_number(answer, "upload-offset")

    def _send_rest(self, source: Source, upload_id: str, tell: Tell) -> None:
        """Send chunk after chunk; after any trouble ask for the offset and go on there."""
        offset = best = self.offset(upload_id, source.length)
        stuck, reason = 0, "the server moves its offset back and forth"
        while offset < source.length:
            tell("sending", offset, source.length)
            try:
                offset = self._patch(upload_id, offset, source.read(offset, self._chunk_bytes))
            except _Interrupted as trouble:
                reason = str(trouble)
                self._transport.pause(
                    stuck + 1, trouble.retry_after, f"upload interrupted: {trouble}"
                )
                offset = self.offset(upload_id, source.length)
            if not 0 <= offset <= source.length:
                raise UnexpectedAnswer(f"The server holds {offset} of {source.length} bytes?")
            stuck = 0 if offset > best else stuck + 1
            best = max(best, offset)
            if stuck >= self._transport.policy.tries:
                raise UploadFailed(
                    f"Upload {upload_id} stays at {offset} bytes: {reason}", upload_id
                )
        tell("sending", offset, source.length)

    def _patch(self, upload_id: str, offset: int, chunk: bytes) -> int:
        """Send one chunk, one try; returns the offset that the server is at."""
        headers = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        path = path_of("uploads", upload_id)
        try:
            answer = self._transport.send_once(
                "PATCH", path, content=chunk, headers=headers, timeout=PATCH_TIMEOUT
            )
        except httpx.TransportError as error:
            raise _Interrupted(type(error).__name__) from error
        if answer.is_success or (answer.status_code == 409 and "upload-offset" in answer.headers):
            return _whole_number(answer, "upload-offset")
        problem = problem_of(answer)
        if problem.status == 409 or self._transport.worth_another(problem):
            raise _Interrupted(str(problem), problem.retry_after)
        raise problem


def _silent(_phase: str, _done: int, _total: int) -> None:
    """Tell nobody."""


class _Interrupted(Exception):
    """A chunk did not get through, and it is worth asking where the server is."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


def _whole_number(answer: httpx.Response, header: str) -> int:
    text = answer.headers.get(header, "")
    if not (text.isascii() and text.isdigit()):
        raise UnexpectedAnswer(f"The server's {header} is {text!r}, not a number.")
    return int(text)
