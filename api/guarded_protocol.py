"""The server's side of a connection: what is not a body is bounded in size, and all in time.

uvicorn has no such limits of its own: without them a head without end fills the memory, and so do
the fields behind a chunked body; and a thousand clients that send a letter a minute, or nothing
after the first letter, hold a thousand sockets.
"""

from __future__ import annotations

import json
from asyncio import TimerHandle, Transport
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.problem import MEDIA_TYPE, http_problem
from core.config import get_settings


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1; 431 for a head of too many bytes, 408 for one that takes too long.

    A clock of this class or the server's own runs while nothing is being answered. Fields behind
    a body (trailers) count as a head does and are dropped: nobody asks for them, and a header that
    comes after the key was checked must not be seen as one that came before.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        settings = get_settings()
        self._most = settings.max_header_bytes
        self._head_seconds = settings.header_seconds
        self._rest_seconds = settings.body_idle_seconds
        self._timer: TimerHandle | None = None
        self._in_head = True
        self._pending = 0
        """Bytes that have arrived since the last piece of a message was whole."""
        self._advanced = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        while data and not self.transport.is_closing():
            # a head is read up to its limit, so that none gets through in one large read
            most = self._most - self._pending if self._in_head else len(data)
            part, data = data[:most], data[most:]
            self._advanced = False
            super().data_received(part)
            self._pending = 0 if self._advanced else self._pending + len(part)
            if self._pending >= self._most:
                detail = f"The head of a request, or its trailers, have at most {self._most} bytes"
                self._refuse(431, detail, "head_too_large")
        self._watch()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._advanced = False, True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._advanced = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head = self._advanced = True
        self._stop_clock()  # that of the rest of a body

    def _answering(self) -> bool:
        """Tell whether an answer is due; requests are answered in turn, so the newest decides."""
        return self.cycle is not None and not self.cycle.response_complete

    def _watch(self) -> None:
        """Let the clock run exactly while nothing is being answered and the server's is off.

        The server's own (``timeout_keep_alive``) begins after an answer and ends with the next
        byte, whatever that byte is.
        """
        if self._answering() or self.transport.is_closing():
            self._stop_clock()
        elif self._timer is None and self.timeout_keep_alive_task is None:
            seconds = self._head_seconds if self._in_head else self._rest_seconds
            self._timer = self.loop.call_later(seconds, self._too_slow)

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self._in_head and self._pending:
            detail = f"The head of a request is sent within {self._head_seconds:g} seconds"
            self._refuse(408, detail, "head_too_slow")
        else:  # nothing was asked yet, or it was answered long before it had arrived
            self.transport.close()

    def _refuse(self, status: int, detail: str, code: str) -> None:
        """Close, and say why unless that would be taken for the answer of another request."""
        self._stop_clock()
        if self.transport.is_closing():
            return
        if self._may_answer():
            body = json.dumps(http_problem(status, detail, code)).encode()
            head = [
                STATUS_LINE[status],
                f"content-type: {MEDIA_TYPE}\r\n".encode(),
                f"content-length: {len(body)}\r\n".encode(),
                b"connection: close\r\n\r\n",
            ]
            self.transport.write(b"".join([*head, body]))
        self.transport.close()

    def _may_answer(self) -> bool:
        """Tell whether the next bytes of the server are the answer of what is arriving."""
        if self._in_head:
            return not self._answering()
        return self._answering() and not self.pipeline and not self.cycle.response_started
