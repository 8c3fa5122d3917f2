"""``/v1/datasets``: upload in one request, list, delete."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.answers import json_response, tagged
from api.deps import ApiRoute, DatasetsRead, DatasetsWrite
from api.form_jobs import FormJob, add_form_job
from api.ids import DatasetId
from api.pagination import PageDep, paged
from api.schemas import datasets as schemas
from core.db.models import Dataset
from core.db.repositories import datasets
from core.db.repositories.access import newest_first, owned
from core.db.session import sessions
from core.services import deletion
from core.services.transaction import transaction
from core.services.version_view import dataset_view

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=ApiRoute)

FORM = FormJob(
    kind="import",
    fields=("name", "layout", "licence", "label_column", "group_column", "seed"),
    files={"file": "upload_id"},
    needed="a zip, tar or tar.gz archive",
    schema="ImportForm",
    summary="Create Dataset",
    description="Upload an archive (zip, tar, tar.gz) and import it: a job of kind `import`.",
    example={"file": "lesions.zip", "name": "clinic 2026", "layout": "auto"},
)
add_form_job(router, FORM, "datasets_create")


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
