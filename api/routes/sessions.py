"""``/v1/sessions``: browsers that are logged in, and one-time links that wait."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.answers import json_response
from api.deps import ApiRoute, KeysAdmin, cut_off
from api.ids import SessionId
from api.pagination import PageDep, paged
from api.schemas import access as schemas
from core.db.models import BrowserSession
from core.db.repositories.access import newest_first, owned
from core.db.session import sessions
from core.services import browser_sessions
from core.services.job_view import stamp
from core.services.transaction import transaction

router = APIRouter(prefix="/v1/sessions", tags=["sessions"], route_class=ApiRoute)


def _view(row: BrowserSession) -> dict[str, Any]:
    return {
        "id": row.id,
        "logged_in": row.cookie_hash is not None,
        "created_at": stamp(row.created_at),
        "expires_at": stamp(row.expires_at),
        "last_used_at": stamp(row.last_used_at),
        "revoked_at": stamp(row.revoked_at),
    }


@router.get("", operation_id="sessions_list", response_model=schemas.BrowserSessionPage)
def list_sessions(principal: KeysAdmin, page: PageDep) -> Response:
    """List browser sessions and unused login links, newest first."""
    with sessions()() as session:
        rows = newest_first(session, principal, BrowserSession, page.text(), page.limit + 1)
    return json_response(paged(rows, page, _view, lambda row: row.id))


@router.delete(
    "/{session_id}",
    operation_id="sessions_delete",
    status_code=204,
    response_class=Response,
)
def delete_session(request: Request, principal: KeysAdmin, session_id: SessionId) -> Response:
    """End a session, or make an unused link useless; its next request is refused."""
    with transaction(sessions()) as session:
        row = owned(session, principal, BrowserSession, session_id, "session")
        browser_sessions.end_session(session, principal, row)
    cut_off(request, session_id)
    return Response(status_code=204)
