"""``/v1/datasets``: upload in one request, list, delete."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.answers import json_response, tagged
from api.deps import ApiRoute, DatasetsRead, DatasetsWrite
from api.idempotency import MAX_LENGTH, keyed
from api.ids import DatasetId
from api.job_links import accepted
from api.multipart import FilePart, Form, FormLimits
from api.pagination import PageDep, paged
from api.schemas import datasets as schemas
from api.schemas import jobs as job_schemas
from api.waiting import answer_job
from core.config import get_settings
from core.db.models import Dataset
from core.db.repositories import datasets
from core.db.repositories.access import newest_first, owned
from core.db.session import sessions
from core.errors import FieldError, InvalidInput
from core.ids import new_id
from core.jobs.spec import JOB_KINDS
from core.pointers import invalid
from core.services import deletion, job_view, uploads
from core.services.idempotency import Answer, Once, once
from core.services.inputs import upload_path
from core.services.principal import Principal
from core.services.submit import submit
from core.services.transaction import transaction
from core.services.version_view import dataset_view

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=ApiRoute)

FIELDS = ("name", "layout", "licence", "label_column", "group_column", "seed")
IMPORT_FORM = "#/components/schemas/ImportForm"


@router.post(
    "",
    operation_id="datasets_create",
    response_model=job_schemas.Job,
    status_code=202,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {"$ref": IMPORT_FORM},
                    "example": {"file": "lesions.zip", "name": "clinic 2026", "layout": "auto"},
                }
            },
        }
    },
)
async def create_dataset(
    request: Request,
    principal: DatasetsWrite,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=MAX_LENGTH)] = None,
) -> Response:
    """Upload an archive (zip, tar, tar.gz) and import it: a job of kind `import`."""
    upload_id = new_id("upl")
    limits = FormLimits(("file",), 1, get_settings().max_upload_bytes)
    with Form(limits, lambda: upload_path(upload_id)) as form:
        await form.read(request)
        file = _only_file(form)
        wish = keyed(request, idempotency_key, form.fingerprint())
        # from here on the thread decides: it goes on where this request is cancelled
        form.keep(file)
        answer = await run_in_threadpool(_import, principal, upload_id, file, form.fields, wish)
    return await answer_job(request, principal, answer)


def _only_file(form: Form) -> FilePart:
    if not form.files:
        raise invalid("/file", "A file is needed: a zip, tar or tar.gz archive")
    if form.files[0].size == 0:
        raise invalid("/file", "The file is empty", "empty_upload")
    if unknown := sorted(set(form.fields) - set(FIELDS)):
        errors = [FieldError(f"/{name[:80]}", "There is no such field") for name in unknown]
        raise InvalidInput(f"Fields are {', '.join(FIELDS)} and file", errors=errors)
    return form.files[0]


def _import(
    principal: Principal,
    upload_id: str,
    file: FilePart,
    fields: dict[str, str],
    wish: Once | None,
) -> Answer:
    filename = file.filename[:255] or "upload"
    with uploads.arrival(file.path) as arrival, transaction(sessions()) as session:

        def make() -> Answer:
            uploads.record_whole(session, principal, upload_id, length=file.size, filename=filename)
            raw: dict[str, Any] = {**fields, "upload_id": upload_id}
            job = submit(session, principal, JOB_KINDS.get("import"), raw)
            return accepted(job_view.written(job))

        answer, repeated = once(session, principal, wish, make)
        arrival.wanted = not repeated
        return answer


@router.get("", operation_id="datasets_list", response_model=schemas.DatasetPage)
def list_datasets(principal: DatasetsRead, page: PageDep) -> Response:
    """List datasets, newest first."""
    with sessions()() as session:
        rows = newest_first(session, principal, Dataset, page.text(), page.limit + 1)
        newest = datasets.newest_versions(session, [row.id for row in rows])
    return json_response(
        paged(rows, page, lambda row: dataset_view(row, newest.get(row.id)), lambda row: row.id)
    )


@router.get("/{dataset_id}", operation_id="datasets_get", response_model=schemas.Dataset)
def get_dataset(request: Request, principal: DatasetsRead, dataset_id: DatasetId) -> Response:
    """Return a dataset."""
    with sessions()() as session:
        row = owned(session, principal, Dataset, dataset_id, "dataset")
        newest = datasets.newest_versions(session, [row.id])
    return tagged(request, dataset_view(row, newest.get(row.id)))


@router.delete(
    "/{dataset_id}",
    operation_id="datasets_delete",
    status_code=204,
    response_class=Response,
)
def delete_dataset(principal: DatasetsWrite, dataset_id: DatasetId) -> Response:
    """Delete a dataset with all its versions; 409 names what depends on it."""
    with transaction(sessions()) as session:
        deletion.delete_dataset(session, principal, dataset_id)
    return Response(status_code=204)
