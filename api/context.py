"""The outermost layer: request id, security headers, and no exception gets past it."""

from __future__ import annotations

import logging
import re
import time
from urllib.parse import unquote_plus

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problem import error_response, http_problem, internal_problem, problem_response
from core.errors import InvalidInput
from core.ids import new_id

log = logging.getLogger("api.access")

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


class RequestContext:
    """ASGI layer; a caller's own ``X-Request-ID`` is kept when it is harmless."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        started, status = time.monotonic(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            if hostile := _hostile(scope):
                await error_response(scope, hostile)(scope, receive, send_with_headers)
            else:
                await self.app(scope, receive, send_with_headers)
        except ClientDisconnect:
            log.info("%s the client went away", request_id)
        except Exception:
            log.exception("%s %s %s failed", request_id, scope["method"], scope["path"])
            if status:  # the answer is under way: only a broken connection can tell the client
                raise
            response = problem_response(scope, internal_problem())
            await response(scope, receive, send_with_headers)
        finally:
            elapsed = (time.monotonic() - started) * 1000
            log.debug("%s %s %d %.1f ms", request_id, scope["method"], status, elapsed)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        text = value.decode("latin-1")
        if name == b"x-request-id" and _GIVEN_ID.fullmatch(text):
            return str(text)
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
