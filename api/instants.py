"""Times in requests: RFC 3339 with an offset, never a bare number, never beyond the calendar."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

_FORM = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?\s*([Zz]|[+-]\d\d:?\d\d)", re.ASCII
)


def _written(value: object) -> object:
    if isinstance(value, str) and not _FORM.fullmatch(value):
        raise ValueError("Write a time as 2026-11-30T12:00:00Z")
    if not isinstance(value, (str, datetime)):
        raise ValueError("A time is a text")
    return value


def _in_calendar(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("The time is out of range") from None


Instant = Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_in_calendar)]
