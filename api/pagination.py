"""Pages: an opaque cursor, a limit, newest first."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query

from core.errors import InvalidInput
from core.pointers import invalid

MAX_LIMIT = 200
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page:
    """What part of a list is asked for."""

    limit: int
    cursor: str | None

    def text(self) -> str | None:
        """Return where the last page ended, as a text."""
        return self._decoded(str)

    def number(self) -> int | None:
        """Return where the last page ended, as a number >= 0."""
        value = self._decoded(int)
        if value is not None and not 0 <= value < 2**31:
            raise bad_cursor()
        return value

    def offset(self) -> int | None:
        """Return where the last page ended, as a place in a file."""
        value = self._decoded(int)
        if value is not None and not 0 <= value < 2**62:
            raise bad_cursor()
        return value

    def _decoded(self, kind: type[T]) -> T | None:
        if self.cursor is None:
            return None
        try:
            padded = self.cursor.encode("ascii") + b"=" * (-len(self.cursor) % 4)
            value = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        except (ValueError, binascii.Error, UnicodeError, RecursionError):
            raise bad_cursor() from None
        if not isinstance(value, kind) or isinstance(value, bool):
            raise bad_cursor()
        if isinstance(value, str) and not re.fullmatch(r"[a-z0-9_]{1,64}", value):
            raise bad_cursor()
        return value


def bad_cursor() -> InvalidInput:
    """Return the refusal of a cursor that was not given out."""
    return invalid("/query/cursor", "This is not a cursor of this list", "invalid_cursor")


def encode_cursor(value: str | int) -> str:
    """Return the cursor of the page after ``value``."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _page(
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Most items of a page.")] = 50,
    cursor: Annotated[
        str | None, Query(max_length=512, description="`next_cursor` of the page before.")
    ] = None,
) -> Page:
    return Page(limit, cursor)


PageDep = Annotated[Page, Depends(_page)]


def paged(
    rows: Sequence[T],
    page: Page,
    view: Callable[[T], dict[str, Any]],
    key: Callable[[T], str | int],
) -> dict[str, Any]:
    """Return a page out of up to ``limit + 1`` rows; one row more tells that there is another."""
    shown = rows[: page.limit]
    more = len(rows) > page.limit
    return {
        "items": [view(row) for row in shown],
        "next_cursor": encode_cursor(key(shown[-1])) if more else None,
    }
