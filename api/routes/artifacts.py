"""``/v1/artifacts``: the files that jobs published."""

from __future__ import annotations

import re

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.answers import tagged
from api.contents import content
from api.deps import ApiRoute, JobsRead, Requires, require
from api.ids import ArtifactId
from api.schemas import jobs as schemas
from core.config import get_settings
from core.db.models import Artifact, Job
from core.db.repositories.access import owned
from core.db.session import sessions
from core.jobs.spec import JOB_KINDS
from core.services.audit import Action, record
from core.services.job_view import artifact_view
from core.services.transaction import transaction
from core.storage.blobs import BlobStore

router = APIRouter(prefix="/v1/artifacts", tags=["artifacts"], route_class=ApiRoute)

EXPORT = "export"
WITHOUT_PIXELS = frozenset(
    {
        "application/json",
        "application/vnd.apache.parquet",
        "text/csv",
        "text/markdown",
        "text/plain",
    }
)
"""A file of any other type may show patients: who fetches it stands in the audit log."""


@router.get("/{artifact_id}", operation_id="artifacts_get", response_model=schemas.Artifact)
def get_artifact(request: Request, principal: JobsRead, artifact_id: ArtifactId) -> Response:
    """Return what an artifact is."""
    with sessions()() as session:
        row = owned(session, principal, Artifact, artifact_id, "artifact")
    return tagged(request, artifact_view(row))


@router.get(
    "/{artifact_id}/content",
    operation_id="artifacts_get_content",
    response_class=Response,
    responses={
        200: {
            "description": "The file, as a download; `Range` and `If-None-Match` are honoured.",
            "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
    # sheets, reports and predictions show the images that their job was given
    dependencies=[Depends(Requires("datasets:read"))],
)
def get_content(request: Request, principal: JobsRead, artifact_id: ArtifactId) -> Response:
    """Download an artifact; what a job made of models needs `models:read` as well."""
    with transaction(sessions()) as session:
        row = owned(session, principal, Artifact, artifact_id, "artifact")
        kind = owned(session, principal, Job, row.job_id, "job").kind
        require(principal, reading_scopes(kind))
        if kind == EXPORT or row.media_type not in WITHOUT_PIXELS:
            details = {"job_id": row.job_id, "bytes": row.bytes}
            action: Action = "export.download" if kind == EXPORT else "artifact.download"
            record(session, principal, action, "artifact", row.id, details)
    path = BlobStore(get_settings().data_dir).find(row.sha256)
    return content(request, path, row.sha256, row.media_type, filename=safe_name(row.name))


def reading_scopes(kind: str) -> set[str]:
    """Return what reading the products of a kind takes: to read all that it reads or makes."""
    return {scope.replace(":write", ":read") for scope in JOB_KINDS.get(kind).scopes}


def safe_name(name: str) -> str:
    """Return the last part of a name without control characters and path separators."""
    return re.sub(r"[\x00-\x1f\x7f/\\]+", "_", name).strip(". ") or "artifact"
