"""JSON pointers (RFC 6901) to invalid fields, and pydantic's errors as ours."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import ValidationError

from core.errors import FieldError, InvalidInput


def escaped(token: int | str) -> str:
    """Return a key or an index as one token of a pointer."""
    return str(token).replace("~", "~0").replace("/", "~1")


def pointer(tokens: Iterable[int | str]) -> str:
    """Return the pointer along keys and indices; "" for the whole document."""
    return "".join(f"/{escaped(token)}" for token in tokens)


def invalid(pointer: str, detail: str, code: str = "invalid_input") -> InvalidInput:
    """Return an InvalidInput for one field."""
    return InvalidInput(detail, code=code, errors=[FieldError(pointer, detail)])


def field_errors(error: ValidationError, below: str = "") -> list[FieldError]:
    """Return pydantic's errors below a pointer, without echoing the input."""
    return [
        FieldError(below + pointer(item["loc"]), item["msg"])
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    ]


def invalid_fields(error: ValidationError, below: str = "") -> InvalidInput:
    """Return an InvalidInput that lists pydantic's errors and says the first one."""
    found = field_errors(error, below)
    return InvalidInput(f"{found[0].pointer}: {found[0].detail}", errors=found)
