"""``/v1/dataset-versions`` and the versions of a dataset."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from api.answers import answered, json_response, tagged
from api.contents import content
from api.deps import ApiRoute, DatasetsRead, DatasetsWrite
from api.idempotency import OnceDep
from api.ids import DatasetId, VersionIdPath
from api.job_links import accepted
from api.pagination import Page, PageDep, bad_cursor, encode_cursor, paged
from api.schemas import datasets as schemas
from api.schemas import jobs as job_schemas
from core.config import get_settings
from core.db.models import Dataset, DatasetVersion
from core.db.repositories import datasets
from core.db.repositories.access import owned
from core.db.repositories.datasets import ImageFilter
from core.db.session import sessions
from core.ingest.csv_safety import safe_cell
from core.manifest import ImageRecord, canonical_json, read_manifest
from core.services import job_view, revision
from core.services.audit import record
from core.services.idempotency import Answer, once
from core.services.transaction import transaction
from core.services.version_view import image_view, version_view
from core.storage.blobs import BlobStore

router = APIRouter(prefix="/v1", tags=["dataset-versions"], route_class=ApiRoute)

PARQUET = "application/vnd.apache.parquet"
CSV = "text/csv"
ROWS_PER_CHUNK = 500


@router.get(
    "/datasets/{dataset_id}/versions",
    operation_id="dataset-versions_list",
    response_model=schemas.VersionPage,
)
def list_versions(principal: DatasetsRead, dataset_id: DatasetId, page: PageDep) -> Response:
    """List the versions of a dataset, newest first."""
    with sessions()() as session:
        owned(session, principal, Dataset, dataset_id, "dataset")
        rows = datasets.versions_of(session, principal, dataset_id, page.number(), page.limit + 1)
        body = paged(rows, page, lambda row: version_view(session, row), lambda row: row.number)
    return json_response(body)


@router.post(
    "/datasets/{dataset_id}/versions",
    operation_id="dataset-versions_create",
    response_model=schemas.Version,
    status_code=201,
    responses={202: {"model": job_schemas.Job, "description": "Images are appended by a job."}},
)
def create_version(
    principal: DatasetsWrite, dataset_id: DatasetId, wish: OnceDep, body: schemas.NewVersion
) -> Response:
    """Relabel, drop, quarantine or release images, or append an upload: a new immutable version."""
    with transaction(sessions()) as session:
        owned(session, principal, Dataset, dataset_id, "dataset")

        def make() -> Answer:
            wanted = body.model_dump()
            if body.upload_id is not None:
                job = revision.append(session, principal, dataset_id, wanted)
                return accepted(job_view.written(job))
            version = revision.change(session, principal, dataset_id, wanted)
            headers = {"Location": f"/v1/dataset-versions/{version.id}"}
            return Answer(201, headers, version_view(session, version))

        answer, _ = once(session, principal, wish, make)
    return answered(answer)


@router.get(
    "/dataset-versions/{version_id}",
    operation_id="dataset-versions_get",
    response_model=schemas.Version,
)
def get_version(request: Request, principal: DatasetsRead, version_id: VersionIdPath) -> Response:
    """Return a version with its classes, groups and duplicates."""
    with sessions()() as session:
        row = owned(session, principal, DatasetVersion, version_id, "dataset_version")
        return tagged(request, version_view(session, row))


@router.get(
    "/dataset-versions/{version_id}/images",
    operation_id="dataset-versions_list_images",
    response_model=schemas.ImagePage,
)
def list_images(
    principal: DatasetsRead,
    version_id: VersionIdPath,
    page: PageDep,
    label: Annotated[str | None, Query(max_length=512)] = None,
    split: schemas.Split | None = None,
    source: schemas.Source | None = None,
    quarantined: bool | None = None,
) -> Response:
    """List the images of a version in the order of its manifest."""
    wanted = ImageFilter(label, split, source, quarantined)
    with sessions()() as session:
        owned(session, principal, DatasetVersion, version_id, "dataset_version")
        rows = datasets.images_of(
            session, principal, version_id, wanted, page.number(), page.limit + 1
        )
    return json_response(paged(rows, page, image_view, lambda row: row.position))


@router.get(
    "/dataset-versions/{version_id}/manifest",
    operation_id="dataset-versions_get_manifest",
    response_class=Response,
    responses={
        200: {
            "description": "Every image with its split, groups and provenance.",
            "content": {
                PARQUET: {"schema": {"type": "string", "format": "binary"}},
                CSV: {"schema": {"type": "string"}},
            },
        }
    },
)
def get_manifest(request: Request, principal: DatasetsRead, version_id: VersionIdPath) -> Response:
    """Download the manifest: Parquet, or CSV with `Accept: text/csv`."""
    with transaction(sessions()) as session:
        row = owned(session, principal, DatasetVersion, version_id, "dataset_version")
        details = {"version_id": row.id, "manifest_sha256": row.manifest_sha256}
        record(session, principal, "dataset.download", "dataset", row.dataset_id, details)
    path = BlobStore(get_settings().data_dir).find(row.manifest_blob)
    if CSV in request.headers.get("accept", ""):
        headers = {
            "Content-Disposition": f'attachment; filename="{row.id}.csv"',
            "Vary": "Accept",
        }
        return StreamingResponse(_csv(path), headers=headers, media_type=f"{CSV}; charset=utf-8")
    answer = content(request, path, row.manifest_blob, PARQUET, filename=f"{row.id}.parquet")
    answer.headers["Vary"] = "Accept"
    return answer


def _csv(path: Path) -> Iterator[str]:
    names = [field.name for field in fields(ImageRecord)]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    for number, image in enumerate(read_manifest(path), 1):
        writer.writerow(safe_cell(_cell(getattr(image, name))) for name in names)
        if number % ROWS_PER_CHUNK == 0:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, dict):
        return canonical_json(value)
    return ";".join(value) if isinstance(value, tuple) else value


@router.get(
    "/dataset-versions/{version_id}/rejects",
    operation_id="dataset-versions_list_rejects",
    response_model=schemas.RejectPage,
)
def list_rejects(principal: DatasetsRead, version_id: VersionIdPath, page: PageDep) -> Response:
    """List the files that the import did not take, with the reasons."""
    with sessions()() as session:
        row = owned(session, principal, DatasetVersion, version_id, "dataset_version")
    blob = row.info.get("rejects_blob")
    if blob is None:
        return json_response({"items": [], "next_cursor": None})
    return json_response(_reject_page(BlobStore(get_settings().data_dir).find(blob), page))


def _reject_page(path: Path, page: Page) -> dict[str, Any]:
    """Read a page of JSON lines; the cursor is the place in the file."""
    items: list[Any] = []
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(min(page.offset() or 0, size))
        while len(items) < page.limit and (line := file.readline()):
            try:
                items.append(json.loads(line))
            except ValueError:
                raise bad_cursor() from None
        place = file.tell()
    return {"items": items, "next_cursor": encode_cursor(place) if place < size else None}
