"""``/v1/audit``: who did what."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.answers import json_response
from api.deps import ApiRoute, KeysAdmin
from api.instants import Instant
from api.pagination import PageDep, paged
from api.schemas import access as schemas
from core.db.models import AuditEntry
from core.db.repositories import audit
from core.db.repositories.audit import AuditFilter
from core.db.session import sessions
from core.services.audit import Action
from core.services.job_view import stamp

router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=ApiRoute)

Wanted = Annotated[str | None, Query(min_length=1, max_length=80)]


def _view(row: AuditEntry) -> dict[str, Any]:
    return {
        "id": row.id,
        "at": stamp(row.at),
        "actor": {"kind": row.actor_kind, "id": row.actor_id},
        "action": row.action,
        "target": {"kind": row.target_kind, "id": row.target_id},
        "request_id": row.request_id,
        "details": row.details,
    }


@router.get("", operation_id="audit_list", response_model=schemas.AuditPage)
def list_entries(
    principal: KeysAdmin,
    page: PageDep,
    action: Action | None = None,
    actor_id: Wanted = None,
    target_id: Wanted = None,
    request_id: Wanted = None,
    after: Annotated[Instant | None, Query()] = None,
    before: Annotated[Instant | None, Query()] = None,
) -> Response:
    """List what was done in the tenant, newest first; entries are never changed or removed."""
    wanted = AuditFilter(action, actor_id, target_id, request_id, after, before)
    with sessions()() as session:
        rows = audit.newest(session, principal, wanted, page.text(), page.limit + 1)
    return json_response(paged(rows, page, _view, lambda row: row.id))
