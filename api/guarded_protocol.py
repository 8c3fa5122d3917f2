"""The server's side of a connection: a request's head is bounded in size and in time.

uvicorn has no such limits of its own: without them a head without end fills the memory, and a
thousand clients that send a letter a minute hold a thousand sockets.
"""

from __future__ import annotations

import json
from asyncio import TimerHandle, Transport
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.problem import MEDIA_TYPE, http_problem
from core.config import get_settings

_END = b"\r\n\r\n"


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1; 431 for a head of too many bytes, 408 for one that takes too long."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        settings = get_settings()
        self._most = settings.max_header_bytes
        self._seconds = settings.header_seconds
        self._timer: TimerHandle | None = None
        self._in_head = True
        self._head_bytes = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            end = data.find(_END)
            self._head_bytes += len(data) if end < 0 else end
            if self._head_bytes > self._most:
                detail = f"The head of a request has at most {self._most} bytes"
                self._refuse(431, detail, "head_too_large")
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        if self._timer is None:
            self._start_clock()

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        self._stop_clock()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head = True

    def _start_clock(self) -> None:
        self._timer = self.loop.call_later(self._seconds, self._too_slow)

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self._head_bytes == 0:  # a connection on which nothing was asked yet
            self.transport.close()
        else:
            detail = f"The head of a request is sent within {self._seconds:g} seconds"
            self._refuse(408, detail, "head_too_slow")

    def _refuse(self, status: int, detail: str, code: str) -> None:
        """Answer and close; no application is asked."""
        self._stop_clock()
        if self.transport.is_closing():
            return
        body = json.dumps(http_problem(status, detail, code)).encode()
        head = [
            STATUS_LINE[status],
            f"content-type: {MEDIA_TYPE}\r\n".encode(),
            f"content-length: {len(body)}\r\n".encode(),
            b"connection: close\r\n\r\n",
        ]
        self.transport.write(b"".join([*head, body]))
        self.transport.close()
