"""Every refusal is an RFC 9457 problem: one shape, one place."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from pydantic import ValidationError as PydanticError
from sqlalchemy import exc as sql
from starlette.exceptions import HTTPException
from starlette.responses import Response

from core.errors import DermSynthError, FieldError, InvalidInput, Unavailable
from core.pointers import field_errors, pointer

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
DATABASE_RETRY_SECONDS = 2
_HTTP_CODES = {
    400: ("bad_request", "Bad request"),
    404: ("not_found", "Not found"),
    405: ("method_not_allowed", "Method not allowed"),
    406: ("not_acceptable", "Not acceptable"),
    416: ("range_not_satisfiable", "Range not satisfiable"),
}


class FieldProblem(BaseModel):
    """One invalid field: a JSON pointer and what is wrong there."""

    pointer: str
    detail: str


class Problem(BaseModel):
    """An RFC 9457 problem; ``code`` is stable."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldProblem] = []
    request_id: str


def problem_response(
    scope: Mapping[str, Any],
    members: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a problem as a response; ``members`` as of DermSynthError.as_problem."""
    body = {**members, "request_id": request_id(scope)}
    return Response(
        json.dumps(body).encode(),
        status_code=int(members["status"]),
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def request_id(scope: Mapping[str, Any]) -> str:
    """Return the id under which this request stands in the log."""
    return str(scope.get("state", {}).get("request_id", ""))


def error_response(scope: Mapping[str, Any], error: DermSynthError) -> Response:
    """Return one of our errors as a response."""
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    headers |= error.extra.get("headers", {})
    members = {k: v for k, v in error.as_problem().items() if k != "headers"}
    return problem_response(scope, members, headers)


def http_problem(status: int, detail: str, code: str = "", title: str = "") -> dict[str, Any]:
    """Return the members of a problem that only HTTP knows."""
    known_code, known_title = _HTTP_CODES.get(status, (f"http_{status}", "Refused"))
    return {
        "type": f"urn:dermsynth3d:problem:{code or known_code}",
        "title": title or known_title,
        "status": status,
        "detail": detail,
        "code": code or known_code,
    }


def internal_problem() -> dict[str, Any]:
    """Return what is told of a fault of ours: nothing but where to look."""
    detail = "The service failed; the log has the details under this request_id"
    return http_problem(500, detail, "internal_error", "Internal error")


async def on_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, DermSynthError):
        raise error
    if error.status >= 500:
        log.error("%s %s: %s", request_id(request.scope), error.code, error.detail)
    return error_response(request.scope, error)


async def on_invalid_request(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    errors = [_field_error(item) for item in error.errors()]
    refused = InvalidInput("The request is not valid", errors=errors)
    return error_response(request.scope, refused)


def _field_error(item: Mapping[str, Any]) -> FieldError:
    place, *path = item["loc"]
    parts = path if place == "body" else [place, *path]
    return FieldError(pointer(parts), str(item["msg"]))


async def on_invalid_model(request: Request, error: Exception) -> Response:
    if not isinstance(error, PydanticError):
        raise error
    refused = InvalidInput("The request is not valid", errors=field_errors(error))
    return error_response(request.scope, refused)


async def on_http_exception(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    headers = dict(error.headers or {})
    if error.status_code == 405:
        allowed = request.app.state.allowed_methods(request.scope)
        headers["Allow"] = ", ".join(sorted(allowed))
    return problem_response(
        request.scope, http_problem(error.status_code, str(error.detail)), headers
    )


async def on_database_error(request: Request, error: Exception) -> Response:
    """A database that is away or overloaded is 503; a value that it refuses is 422."""
    if isinstance(error, sql.DataError):
        refused: DermSynthError = InvalidInput("A value is out of the range that can be stored")
        return error_response(request.scope, refused)
    away = isinstance(error, (sql.OperationalError, sql.InterfaceError, sql.TimeoutError))
    if not away and not getattr(error, "connection_invalidated", False):
        raise error
    log.warning("%s database: %s", request_id(request.scope), error)
    refused = Unavailable(
        "The database does not answer; try again",
        code="database_unavailable",
        retry_after=DATABASE_RETRY_SECONDS,
    )
    return error_response(request.scope, refused)


def install(app: FastAPI) -> None:
    """Register the handlers."""
    app.add_exception_handler(DermSynthError, on_error)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    app.add_exception_handler(PydanticError, on_invalid_model)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(sql.SQLAlchemyError, on_database_error)
