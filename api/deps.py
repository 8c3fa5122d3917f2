"""Who asks, and may they: authentication happens before a body is read."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.failed_attempts import FailedAttempts
from api.json_body import read_json
from api.known_keys import KnownKeys
from core.config import get_settings
from core.db.session import reads
from core.errors import Forbidden, TooManyRequests, Unauthorized
from core.services.browser_sessions import authenticate_cookie
from core.services.keys import digest, verify_key
from core.services.principal import Principal

COOKIE = "dermsynth_session"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_bearer = HTTPBearer(
    scheme_name="ApiKey", auto_error=False, description="A key: `Authorization: Bearer dsk_…`"
)


class Requires:
    """Dependency: the caller, who holds the scope."""

    def __init__(self, scope: str) -> None:
        self.scope = scope

    async def __call__(
        self,
        request: Request,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None,
    ) -> Principal:
        principal: Principal = request.state.principal
        return principal


DatasetsRead = Annotated[Principal, Depends(Requires("datasets:read"))]
DatasetsWrite = Annotated[Principal, Depends(Requires("datasets:write"))]
JobsRead = Annotated[Principal, Depends(Requires("jobs:read"))]
JobsWrite = Annotated[Principal, Depends(Requires("jobs:write"))]
ModelsRead = Annotated[Principal, Depends(Requires("models:read"))]
ModelsWrite = Annotated[Principal, Depends(Requires("models:write"))]
KeysAdmin = Annotated[Principal, Depends(Requires("keys:admin"))]


def _lean(dependant: Dependant) -> Dependant:
    """Return what has to be solved for a request whose caller is known.

    What only openapi.json tells of (the scheme of the header, scopes that nobody takes as an
    argument) costs each request as much as what is needed.
    """
    needed = [
        replace(one, dependencies=[]) if isinstance(one.call, Requires) else one
        for one in dependant.dependencies
        if one.name is not None or not isinstance(one.call, Requires)
    ]
    return replace(dependant, dependencies=needed)


class ApiRoute(APIRoute):
    """A route whose caller is known, and whose JSON is checked, before anything else happens."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._answer = self.get_route_handler()
        self.app = self._serve

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; errors are answered by the application's handlers, once."""
        async with AsyncExitStack() as stack:
            # what FastAPI closes dependencies with
            scope["fastapi_inner_astack"] = scope["fastapi_function_astack"] = stack
            response = await self._answer(Request(scope, receive, send))
            await response(scope, receive, send)

    @property
    def scopes(self) -> list[str]:
        """What a caller's key needs; none for a public route."""
        calls = [dependency.call for dependency in self.dependant.dependencies]
        return sorted({call.scope for call in calls if isinstance(call, Requires)})

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        scopes, described = self.scopes, self.dependant
        self.dependant = _lean(described)
        try:
            handle = super().get_route_handler()
        finally:
            self.dependant = described
        takes_json = self.body_field is not None

        async def handler(request: Request) -> Response:
            if scopes:
                request.state.principal = await authorise(request, scopes)
            if takes_json:
                await read_json(request)
            return await handle(request)

        return handler


async def authorise(request: Request, scopes: list[str]) -> Principal:
    """Return the caller; Unauthorized, Forbidden for a missing scope, TooManyRequests."""
    principal = replace(await _caller(request), request_id=request.state.request_id)
    request.app.state.rate_limit.take(principal.key_id)
    require(principal, scopes)
    return principal


async def still_allowed(request: Request, scopes: list[str]) -> bool:
    """Tell whether the caller of a request that is still being answered would be let in now.

    True while nobody can tell, because the database is away: it is asked again.
    """
    try:
        require(await _caller(request), scopes)
    except (Unauthorized, Forbidden, TooManyRequests):
        return False
    except SQLAlchemyError:
        return True
    return True


def cut_off(request: Request, caller_id: str) -> None:
    """Have a key or session that was just revoked refused at once, and end what it follows."""
    request.app.state.known_keys.forget(caller_id)
    request.app.state.events.cut(caller_id)


def require(principal: Principal, scopes: Iterable[str]) -> None:
    """Refuse a caller that lacks one of the scopes."""
    if missing := [scope for scope in scopes if scope not in principal.scopes]:
        raise Forbidden(f"The key has no scope {', '.join(missing)}", code="missing_scope")


async def _caller(request: Request) -> Principal:
    secret = _bearer_secret(request)
    return await (_by_cookie(request) if secret is None else _by_key(request, secret))


def _bearer_secret(request: Request) -> str | None:
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, secret = header.partition(" ")
    if scheme.lower() != "bearer" or not secret:
        raise Unauthorized("Send the key as: Authorization: Bearer dsk_…", code="invalid_key")
    return secret.strip()


async def _by_key(request: Request, secret: str) -> Principal:
    known: KnownKeys = request.app.state.known_keys
    hashed = digest(secret)
    # a key that was found good within the last second costs neither thread nor database
    if (principal := known.find(hashed)) is not None:
        return principal
    with attempt(request, hashed):
        return await run_in_threadpool(_look_up, known, secret, hashed)


def attempt(request: Request, hashed: str) -> AbstractContextManager[None]:
    """Look up a secret within; TooManyRequests before it when its sender has failed too often."""
    failed: FailedAttempts = request.app.state.failed_attempts
    return failed.attempt(request.client.host if request.client else "", hashed)


def _look_up(known: KnownKeys, secret: str, hashed: str) -> Principal:
    asked = known.asked()
    with reads()() as session:
        verified = verify_key(session, secret, hashed)
    known.keep(hashed, verified, asked)
    return verified.principal


async def _by_cookie(request: Request) -> Principal:
    cookie = request.cookies.get(COOKIE)
    if cookie is None or not get_settings().cookie_login:
        raise Unauthorized("Send a key: Authorization: Bearer dsk_…", code="missing_key")
    if request.method not in _SAFE and not same_origin(request):
        raise Forbidden("This request comes from another site", code="cross_site")
    with attempt(request, digest(cookie)):
        return await run_in_threadpool(_session_of, cookie)


def _session_of(cookie: str) -> Principal:
    with reads()() as session:
        return authenticate_cookie(session, cookie)


def same_origin(request: Request) -> bool:
    """Tell whether a browser sent this from our own page (Fetch Metadata, else Origin)."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc == request.headers.get("host")
