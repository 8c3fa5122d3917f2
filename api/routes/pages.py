"""Pages for people: the overview, /docs without internet, the one-time login."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, FastAPI, Query, Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from api.answers import json_response
from api.deps import COOKIE, attempt, cut_off, same_origin
from core.config import get_settings
from core.db.models import BrowserSession
from core.db.repositories.access import owned
from core.db.session import sessions
from core.errors import Forbidden, NotFound, Unauthorized
from core.services.browser_sessions import (
    COOKIE_DAYS,
    authenticate_cookie,
    end_session,
    redeem_login_token,
)
from core.services.keys import digest
from core.services.transaction import transaction

router = APIRouter(include_in_schema=False)

UI = Path(__file__).resolve().parents[1] / "ui"


@router.get("/")
async def overview() -> Response:
    """The page that lists datasets and jobs."""
    return FileResponse(UI / "index.html", headers={"Cache-Control": "no-cache"})


@router.get("/docs")
async def docs() -> Response:
    """Swagger UI, served from this installation."""
    return FileResponse(UI / "docs.html", headers={"Cache-Control": "no-cache"})


@router.get("/openapi.json")
async def document(request: Request) -> Response:
    """The description of the API; behind a proxy with the prefix that its paths have there."""
    described = request.app.openapi()
    if root := str(request.scope.get("root_path", "")).rstrip("/"):
        described = {**described, "servers": [{"url": root}]}
    return json_response(described)


@router.get("/login")
def login(request: Request, token: Annotated[str, Query(min_length=1, max_length=200)]) -> Response:
    """Exchange a one-time link for a session cookie."""
    if not get_settings().cookie_login:
        raise NotFound("Login links are not offered here")
    with attempt(request, digest(token)), transaction(sessions()) as session:
        cookie = redeem_login_token(session, token, request.state.request_id)
    root = str(request.scope.get("root_path", "")).rstrip("/")
    response = RedirectResponse(f"{root}/", 303, {"Cache-Control": "no-store"})
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=COOKIE_DAYS * 24 * 3600,
        path=f"{root}/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


@router.post("/logout")
def logout(request: Request) -> Response:
    """End the browser's session and forget its cookie; without one there is nothing to end."""
    if not same_origin(request):
        raise Forbidden("This request comes from another site", code="cross_site")
    cookie, ended = request.cookies.get(COOKIE), None
    if cookie is not None:
        tried = attempt(request, digest(cookie))
        with suppress(Unauthorized), tried, transaction(sessions()) as session:
            found = authenticate_cookie(session, cookie)
            principal = replace(found, request_id=request.state.request_id)
            row = owned(session, principal, BrowserSession, principal.key_id, "session")
            end_session(session, principal, row)
            ended = principal.key_id
    if ended is not None:
        cut_off(request, ended)
    root = str(request.scope.get("root_path", "")).rstrip("/")
    response = RedirectResponse(f"{root}/", 303, {"Cache-Control": "no-store"})
    response.delete_cookie(COOKIE, path=f"{root}/", httponly=True, samesite="strict")
    return response


def mount_static(app: FastAPI) -> None:
    """Serve the files of the pages and of Swagger UI."""
    app.mount("/static/swagger", StaticFiles(directory=swagger_folder()), name="swagger")
    app.mount("/static", StaticFiles(directory=UI), name="ui")


def swagger_folder() -> Path:
    """Return where the package swagger-ui-bundle-v2 has its files."""
    spec = find_spec("swagger_ui_bundle")
    places = list(spec.submodule_search_locations or ()) if spec else []
    for place in places:
        for folder in sorted(Path(place).glob("vendor/swagger-ui-*"), reverse=True):
            return folder
    raise RuntimeError("The package swagger-ui-bundle-v2 is not installed")
