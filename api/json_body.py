"""JSON bodies that can be stored: no NUL, no lone surrogates, no NaN, not nested without end."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from api.context import is_unicode
from core.errors import FieldError, InvalidInput, UnsupportedMedia
from core.pointers import escaped

MAX_DEPTH = 64
MAX_DIGITS = 300
AT_ONCE_BYTES = 64 * 1024
"""Longer bodies are parsed in a thread, so that other requests go on."""


async def read_json(request: Request) -> None:
    """Parse and check the body once; FastAPI and idempotency use the parsed value."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    # before the body is read: other types may be as long as an upload
    if kind and not _is_json(kind):
        raise UnsupportedMedia("The body must be application/json")
    raw = await request.body()
    if not raw:
        return
    if not kind:
        raise UnsupportedMedia("The body must be application/json")
    if len(raw) <= AT_ONCE_BYTES:
        request._json = _parsed(raw)
    else:
        request._json = await run_in_threadpool(_parsed, raw)


def _is_json(kind: str) -> bool:
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )


def _parsed(raw: bytes) -> Any:
    try:
        value = json.loads(raw, parse_constant=_refuse_constant, parse_int=_parse_int)
    except RecursionError:
        raise InvalidInput("The JSON is nested too deeply", code="invalid_json") from None
    except UnicodeDecodeError:
        raise InvalidInput("The JSON is not UTF-8", code="invalid_json") from None
    except json.JSONDecodeError as error:
        detail = f"This is not JSON: {error.msg} at character {error.pos}"
        raise InvalidInput(detail, code="invalid_json") from None
    check_value(value)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidInput(f"{name} is not JSON", code="invalid_json")


def _parse_int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise InvalidInput("A number has too many digits", code="invalid_json")
    return int(text)


def check_value(value: Any, pointer: str = "", depth: int = 0) -> None:
    """Raise InvalidInput for what PostgreSQL cannot store in text and JSONB."""
    if depth > MAX_DEPTH:
        raise InvalidInput("The JSON is nested too deeply", code="invalid_json")
    if isinstance(value, str):
        _check_text(value, pointer)
    elif isinstance(value, float):
        if value in (float("inf"), float("-inf")):
            raise InvalidInput("A number is too large", errors=[FieldError(pointer, "too large")])
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check_value(item, f"{pointer}/{index}", depth + 1)
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_text(name, pointer)
            check_value(item, f"{pointer}/{escaped(name)}", depth + 1)


def _check_text(text: str, pointer: str) -> None:
    if "\0" in text or not is_unicode(text):
        raise InvalidInput(
            "A text holds a NUL character or half a surrogate pair",
            code="invalid_characters",
            errors=[FieldError(pointer, "Holds a character that is not allowed")],
        )
