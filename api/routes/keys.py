"""``/v1/keys``: API keys of the tenant."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.answers import json_response
from api.deps import ApiRoute, KeysAdmin, cut_off
from api.idempotency import OnceDep
from api.ids import KeyId
from api.pagination import PageDep, paged
from api.schemas import products as schemas
from core.db.models import ApiKey
from core.db.repositories.access import newest_first, owned
from core.db.session import sessions
from core.services import keys
from core.services.idempotency import Answer, once
from core.services.job_view import stamp
from core.services.sealing import seal, unseal
from core.services.transaction import transaction

router = APIRouter(prefix="/v1/keys", tags=["keys"], route_class=ApiRoute)


@router.post("", operation_id="keys_create", response_model=schemas.CreatedKey, status_code=201)
def create(principal: KeysAdmin, wish: OnceDep, body: schemas.NewKey) -> Response:
    """Make a key; the secret is in this answer and never again."""
    keys.require_scopes(principal, body.scopes)
    with transaction(sessions()) as session:

        def make() -> Answer:
            keys.require_future(session, body.expires_at)
            return _sealed(
                *keys.create_key(
                    session,
                    principal.tenant_id,
                    body.name,
                    body.scopes,
                    body.expires_at,
                    creator=principal,
                )
            )

        answer, _ = once(session, principal, wish, make)
    return _unsealed(answer)


@router.post(
    "/{key_id}/rotate",
    operation_id="keys_rotate",
    response_model=schemas.CreatedKey,
    status_code=201,
)
def rotate(
    request: Request,
    principal: KeysAdmin,
    key_id: KeyId,
    wish: OnceDep,
    body: schemas.RotatedKey = schemas.RotatedKey(),  # noqa: B008 - frozen by FastAPI's copy
) -> Response:
    """Make a key's successor; the old one works on for the overlap."""
    overlap = timedelta(seconds=body.overlap_seconds)
    with transaction(sessions()) as session:
        # also for a repeated request: its answer holds the secret
        keys.require_scopes(principal, owned(session, principal, ApiKey, key_id, "key").scopes)

        def make() -> Answer:
            return _sealed(*keys.rotate_key(session, principal, key_id, overlap, body.expires_at))

        answer, _ = once(session, principal, wish, make)
    request.app.state.known_keys.forget(key_id)  # it now ends with the overlap
    return _unsealed(answer)


def _sealed(row: ApiKey, secret: str) -> Answer:
    """Return the answer to keep: the secret must not stand in it in the clear."""
    body = {**_view(row), "key": seal(row.id, secret)}
    return Answer(201, {"Location": f"/v1/keys/{row.id}"}, body)


def _unsealed(answer: Answer) -> Response:
    shown = {**answer.body, "key": unseal(answer.body["id"], answer.body["key"])}
    return json_response(shown, 201, {**answer.headers, "Cache-Control": "no-store"})


def _view(row: ApiKey) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "hint": row.hint,
        "scopes": row.scopes,
        "created_at": stamp(row.created_at),
        "expires_at": stamp(row.expires_at),
        "last_used_at": stamp(row.last_used_at),
        "revoked_at": stamp(row.revoked_at),
        "replaced_by": row.replaced_by,
    }


@router.get("", operation_id="keys_list", response_model=schemas.KeyPage)
def list_keys(principal: KeysAdmin, page: PageDep) -> Response:
    """List keys, newest first, without their secrets."""
    with sessions()() as session:
        rows = newest_first(session, principal, ApiKey, page.text(), page.limit + 1)
    return json_response(paged(rows, page, _view, lambda row: row.id))


@router.delete("/{key_id}", operation_id="keys_delete", status_code=204, response_class=Response)
def delete(request: Request, principal: KeysAdmin, key_id: KeyId) -> Response:
    """Revoke a key; it is refused at once, by other API processes within a second."""
    with transaction(sessions()) as session:
        keys.revoke_key(session, principal, key_id)
    cut_off(request, key_id)
    return Response(status_code=204)
