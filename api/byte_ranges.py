"""The ``Range`` header (RFC 9110, 14.1.2): one range of bytes, or none that counts."""

from __future__ import annotations

import re
from dataclasses import dataclass

_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """From ``first`` to ``last`` (None: the end), or the last ``suffix`` bytes."""

    first: int = 0
    last: int | None = None
    suffix: int | None = None

    def bounds(self, size: int) -> tuple[int, int]:
        """Return start and stop within ``size`` bytes; start >= stop: there are no such bytes."""
        if self.suffix is not None:
            return max(0, size - self.suffix), size
        return self.first, size if self.last is None else min(size, self.last + 1)


def byte_range(header: str | None) -> ByteRange | None:
    """Return the range of a header; None for several, for nonsense and for one that runs back."""
    match = _RANGE.fullmatch((header or "").strip())
    if match is None:
        return None
    if match[3] is not None:
        return ByteRange(suffix=int(match[3]))
    last = int(match[2]) if match[2] else None
    if last is not None and last < int(match[1]):
        return None
    return ByteRange(int(match[1]), last)
