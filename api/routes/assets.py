"""``/v1/assets``: bodies and backgrounds to render with."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.answers import json_response, tagged
from api.deps import ApiRoute, DatasetsRead, DatasetsWrite
from api.form_jobs import FormJob, add_form_job
from api.ids import AssetIdPath
from api.pagination import PageDep, paged
from api.schemas import assets as schemas
from core.assets import AssetKind
from core.db.models import Asset
from core.db.repositories.access import owned
from core.db.repositories.assets import newest_of_kind
from core.db.session import sessions
from core.services.assets import asset_view, delete_asset
from core.services.transaction import transaction

router = APIRouter(prefix="/v1/assets", tags=["assets"], route_class=ApiRoute)

FORM = FormJob(
    kind="import_asset",
    fields=("kind", "name", "licence", "group_id", "colour", "units", "up", "groups"),
    files={
        "file": "upload_id",
        "texture": "texture_upload_id",
        "non_skin": "non_skin_upload_id",
        "parts": "parts_upload_id",
    },
    needed="an OBJ or GLB mesh, or an image",
    schema="AssetForm",
    summary="Create Asset",
    description="Upload a body (OBJ or GLB) or a background: a job of kind `import_asset` checks "
    "it.",
    example={"kind": "background", "file": "room.jpg", "name": "room"},
    lists=("groups",),
)
add_form_job(router, FORM, "assets_create")


@router.get("", operation_id="assets_list", response_model=schemas.AssetPage)
def list_assets(
    principal: DatasetsRead, page: PageDep, kind: Annotated[AssetKind | None, Query()] = None
) -> Response:
    """List assets, newest first."""
    with sessions()() as session:
        rows = newest_of_kind(session, principal, kind, page.text(), page.limit + 1)
    return json_response(paged(rows, page, asset_view, lambda row: row.id))


@router.get("/{asset_id}", operation_id="assets_get", response_model=schemas.Asset)
def get_asset(request: Request, principal: DatasetsRead, asset_id: AssetIdPath) -> Response:
    """Return an asset."""
    with sessions()() as session:
        row = owned(session, principal, Asset, asset_id, "asset")
    return tagged(request, asset_view(row))


@router.delete(
    "/{asset_id}", operation_id="assets_delete", status_code=204, response_class=Response
)
def remove_asset(principal: DatasetsWrite, asset_id: AssetIdPath) -> Response:
    """Delete an asset; 409 names what was rendered with it."""
    with transaction(sessions()) as session:
        delete_asset(session, principal, asset_id)
    return Response(status_code=204)
