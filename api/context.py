"""The outermost layer: request id, security headers, and no exception gets past it."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from dataclasses import dataclass
from urllib.parse import unquote_plus

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics.http import HttpMetrics, route_of
from api.problem import error_response, http_problem, internal_problem, problem_response
from core.errors import InvalidInput, Unavailable
from core.ids import new_id
from core.logs import about
from core.tracing import Span, span

log = logging.getLogger("api.access")

RETRY_SECONDS = 5
"""After which the process that follows surely serves."""
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
        "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
    ),
}

_ENCODED = [
    (name.lower().encode(), value.encode("latin-1")) for name, value in SECURITY_HEADERS.items()
]


def _with_ours(message: Message, request_id: str) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer with the request's id and ours, where it has none."""
    given = [one for one in message.get("headers", ()) if one[0] != b"x-request-id"]
    names = {name for name, _ in given}
    ours = [one for one in _ENCODED if one[0] not in names]
    return [*given, (b"x-request-id", request_id.encode("latin-1")), *ours]


class RequestContext:
    """ASGI layer; a caller's own ``X-Request-ID`` is kept when it is harmless."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        caller = _header(scope, b"traceparent")
        with (
            about(request_id=request_id),
            span(
                scope["method"], parent=caller, server=True, about={"request_id": request_id}
            ) as measured,
            self.metrics.in_progress.track_inprogress(),
        ):
            answer = _Answer(time.monotonic())
            try:
                await self._serve(scope, receive, send, answer)
            finally:
                self._tell(scope, answer, measured)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, answer: _Answer) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.begin(message["status"])
                message["headers"] = _with_ours(message, scope["state"]["request_id"])
            await send(message)

        try:
            if hostile := _hostile(scope):
                await error_response(scope, hostile)(scope, receive, send_with_headers)
            else:
                await self.app(scope, receive, send_with_headers)
        except ClientDisconnect:
            log.info("the client went away")
        except asyncio.CancelledError:  # the server ends; what a thread has begun it finishes
            if answer.status:
                raise
            await error_response(scope, _ending())(scope, receive, send_with_headers)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if answer.status:  # it is under way: only a broken connection can tell the client
                raise
            response = problem_response(scope, internal_problem())
            await response(scope, receive, send_with_headers)

    def _tell(self, scope: Scope, answer: _Answer, measured: Span) -> None:
        route = route_of(scope)
        seconds = answer.seconds if answer.status else time.monotonic() - answer.asked
        measured.rename(f"{scope['method']} {route}")
        measured.note(status=answer.status)
        if answer.status >= 500:
            measured.fail(str(answer.status))
        self.metrics.observe(scope, answer.status, seconds)
        _log(scope, route, answer.status, seconds)


def _ending() -> Unavailable:
    return Unavailable(
        "The service is being restarted; send the request again, with the same Idempotency-Key",
        code="restarting",
        retry_after=RETRY_SECONDS,
    )


@dataclass(slots=True)
class _Answer:
    """How far the answer is; status 0: there is none."""

    asked: float
    status: int = 0
    seconds: float = 0.0

    def begin(self, status: int) -> None:
        self.status, self.seconds = status, time.monotonic() - self.asked


def _log(scope: Scope, route: str, status: int, seconds: float) -> None:
    # health checks and scrapes come every few seconds and say nothing
    level = logging.DEBUG if route in QUIET and status < 400 else logging.INFO
    told = {"method": scope["method"], "route": route, "path": scope["path"], "status": status}
    log.log(
        level,
        "%s %s %d",
        scope["method"],
        route,
        status,
        extra={**told, "milliseconds": round(seconds * 1000, 1)},
    )


def _header(scope: Scope, wanted: bytes) -> str | None:
    for name, value in scope["headers"]:
        if name == wanted:
            return str(value.decode("latin-1"))
    return None


def _request_id(scope: Scope) -> str:
    given = _header(scope, b"x-request-id")
    if given is not None and _GIVEN_ID.fullmatch(given):
        return given
    fresh: str = new_id("req")
    return fresh


def _hostile(scope: Scope) -> InvalidInput | None:
    """Refuse what PostgreSQL cannot store: NUL and text that is not UTF-8, in path and query."""
    query = unquote_plus(scope["query_string"].decode("latin-1"), errors="surrogateescape")
    for place, text in (("path", scope["path"]), ("query", query)):
        if "\0" in text:
            return InvalidInput(f"The {place} holds a NUL character", code="invalid_characters")
        if not is_unicode(text):
            return InvalidInput(f"The {place} is not UTF-8", code="invalid_characters")
    return None


def is_unicode(text: str) -> bool:
    """Tell whether a text can be encoded: it holds no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class HostCheck:
    """Answers only the Host headers that the settings name: a defence against DNS rebinding."""

    def __init__(self, app: ASGIApp, hosts: str) -> None:
        self.app = app
        self.hosts = frozenset(host.strip().lower() for host in hosts.split(",") if host.strip())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._known(scope):
            members = http_problem(400, "This Host is not served here", "unknown_host")
            await problem_response(scope, members)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _known(self, scope: Scope) -> bool:
        if "*" in self.hosts:
            return True
        values = [value for name, value in scope["headers"] if name == b"host"]
        if len(values) != 1:
            return False
        host = values[0].decode("latin-1").lower()
        return host in self.hosts or re.sub(r":\d+$", "", host) in self.hosts
