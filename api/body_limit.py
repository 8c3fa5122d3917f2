"""Counts the bytes of request bodies before anything parses them, and waits for none for ever."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problem import error_response
from core.errors import PayloadTooLarge, RequestTimeout

FORM_OVERHEAD = 1024**2
"""Bytes that the fields and boundaries of a form may take beside its file."""


class BodyLimit:
    """ASGI layer: JSON bodies stay below ``json_bytes``, uploads below ``upload_bytes``.

    A body of which nothing comes for ``idle_seconds`` is refused.
    """

    def __init__(
        self, app: ASGIApp, json_bytes: int, upload_bytes: int, idle_seconds: float
    ) -> None:
        self.app = app
        self.idle_seconds = idle_seconds
        self.json_bytes = json_bytes
        self.upload_bytes = upload_bytes + FORM_OVERHEAD

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        limit, seen, coming = self._limit(scope), 0, True

        async def counted() -> Message:
            nonlocal seen, coming
            # after the body, whoever receives waits for the client to go away
            message = await (self._soon(receive) if coming else receive())
            if message["type"] == "http.request":
                coming = message.get("more_body", False)
                seen += len(message.get("body", b""))
                if seen > limit:
                    raise too_large(limit)
            return message

        if (announced := _announced(scope)) is not None and announced > limit:
            await error_response(scope, too_large(limit))(scope, receive, send)
            return
        await self.app(scope, counted, send)

    async def _soon(self, receive: Receive) -> Message:
        try:
            async with asyncio.timeout(self.idle_seconds):
                return await receive()
        except TimeoutError:
            raise RequestTimeout(
                f"Nothing of the body came for {self.idle_seconds:g} seconds",
                extra={"headers": {"Connection": "close"}},
            ) from None

    def _limit(self, scope: Scope) -> int:
        headers = dict(scope["headers"])
        kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        streamed = kind in (b"multipart/form-data", b"application/offset+octet-stream")
        return self.upload_bytes if streamed else self.json_bytes


def too_large(limit: int) -> PayloadTooLarge:
    """Return the refusal, naming the limit."""
    return PayloadTooLarge(f"The body is larger than {limit} bytes", extra={"limit_bytes": limit})


def _announced(scope: Scope) -> int | None:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return None
