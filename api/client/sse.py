"""Server-sent events, parsed from bytes (WHATWG HTML, 9.2.6)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from api.client.failures import UnexpectedAnswer

MAX_LINE = 16 * 1024**2
_LINE_END = re.compile(rb"\r\n|\n|\r")  # not str.splitlines: JSON may hold U+2028


@dataclass(frozen=True, slots=True)
class Message:
    """One event; ``id`` is the last id seen, as the standard wants it."""

    id: str
    event: str
    data: str


class SseParser:
    """Feed it bytes in any portions; it returns the messages that became complete."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry_seconds: float | None = None
        self._buffer = b""
        self._event = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[Message]:
        """Take bytes; UnexpectedAnswer when a line never ends."""
        self._buffer += chunk
        messages = []
        for line in self._lines():
            message = self._line(line)
            if message is not None:
                messages.append(message)
        if len(self._buffer) > MAX_LINE:
            raise UnexpectedAnswer("The server's event stream holds a line without an end.")
        return messages

    def _lines(self) -> Iterator[str]:
        start = 0
        for match in _LINE_END.finditer(self._buffer):
            if match.group() == b"\r" and match.end() == len(self._buffer):
                break  # the \n that belongs to it may come with the next bytes
            yield self._buffer[start : match.start()].decode("utf-8", "replace")
            start = match.end()
        self._buffer = self._buffer[start:]

    def _line(self, line: str) -> Message | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self.last_id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_seconds = int(value) / 1000
        return None

    def _dispatch(self) -> Message | None:
        data, event = self._data, self._event or "message"
        self._data, self._event = [], ""
        return Message(self.last_id, event, "\n".join(data)) if data else None
