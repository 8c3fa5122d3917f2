"""``/v1/assets``: bodies and backgrounds to render with."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.answers import json_response, tagged
from api.deps import ApiRoute, DatasetsRead, DatasetsWrite
from api.idempotency import MAX_LENGTH, keyed
from api.ids import AssetIdPath
from api.job_links import accepted
from api.multipart import FilePart, Form, FormLimits
from api.pagination import PageDep, paged
from api.schemas import assets as schemas
from api.schemas import jobs as job_schemas
from api.waiting import answer_job
from core.assets import AssetKind
from core.config import get_settings
from core.db.models import Asset
from core.db.repositories.access import owned
from core.db.repositories.assets import newest_of_kind
from core.db.session import sessions
from core.errors import FieldError, InvalidInput
from core.ids import new_id
from core.jobs.spec import JOB_KINDS
from core.pointers import invalid
from core.services import job_view, uploads
from core.services.assets import asset_view, delete_asset
from core.services.idempotency import Answer, Once, once
from core.services.inputs import upload_path
from core.services.principal import Principal
from core.services.submit import submit
from core.services.transaction import transaction

router = APIRouter(prefix="/v1/assets", tags=["assets"], route_class=ApiRoute)

KIND = "import_asset"
FIELDS = ("kind", "name", "licence", "colour", "units", "up", "groups")
FILES = {
    "file": "upload_id",
    "texture": "texture_upload_id",
    "non_skin": "non_skin_upload_id",
    "parts": "parts_upload_id",
}
"""File fields of the form, and the parameters of the job that they become."""
ASSET_FORM = "#/components/schemas/AssetForm"


@router.post(
    "",
    operation_id="assets_create",
    response_model=job_schemas.Job,
    status_code=202,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {"$ref": ASSET_FORM},
                    "example": {"kind": "background", "file": "room.jpg", "name": "room"},
                }
            },
        }
    },
)
async def create_asset(
    request: Request,
    principal: DatasetsWrite,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=MAX_LENGTH)] = None,
) -> Response:
    """Upload a body (OBJ or GLB) or a background: a job of kind `import_asset` checks it."""
    limits = FormLimits(tuple(FILES), 1, get_settings().max_upload_bytes)
    with Form(limits, lambda: upload_path(new_id("upl"))) as form:
        await form.read(request)
        _check_form(form)
        wish = keyed(request, idempotency_key, form.fingerprint())
        # from here on the thread decides: it goes on where this request is cancelled
        for part in form.files:
            form.keep(part)
        answer = await run_in_threadpool(_import, principal, form.files, form.fields, wish)
    return await answer_job(request, principal, answer)


def _check_form(form: Form) -> None:
    if unknown := sorted(set(form.fields) - set(FIELDS)):
        errors = [FieldError(f"/{name[:80]}", "There is no such field") for name in unknown]
        raise InvalidInput(f"Fields are {', '.join((*FIELDS, *FILES))}", errors=errors)
    if not any(part.field == "file" for part in form.files):
        raise invalid("/file", "A file is needed: an OBJ or GLB mesh, or an image")
    for part in form.files:
        if part.size == 0:
            raise invalid(f"/{part.field}", "The file is empty", "empty_upload")


def _import(
    principal: Principal, files: list[FilePart], fields: dict[str, str], wish: Once | None
) -> Answer:
    raw: dict[str, Any] = {**fields, **{FILES[part.field]: part.path.name for part in files}}
    if "groups" in fields:
        raw["groups"] = [name for name in fields["groups"].split(",") if name.strip()]
    with ExitStack() as stack:
        arrivals = [stack.enter_context(uploads.arrival(part.path)) for part in files]
        session = stack.enter_context(transaction(sessions()))

        def make() -> Answer:
            for part in files:
                name = part.filename[:255] or part.field
                uploads.record_whole(
                    session, principal, part.path.name, length=part.size, filename=name
                )
            job = submit(session, principal, JOB_KINDS.get(KIND), raw)
            return accepted(job_view.written(job))

        answer, repeated = once(session, principal, wish, make)
        for arrival in arrivals:
            arrival.wanted = not repeated
        return answer


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
