"""``/v1/artifacts``: the files that jobs published."""

from __future__ import annotations

import re

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.answers import tagged
from api.contents import content
from api.deps import ApiRoute, JobsRead
from api.ids import ArtifactId
from api.schemas import jobs as schemas
from core.config import get_settings
from core.db.models import Artifact
from core.db.repositories.access import owned
from core.db.session import sessions
from core.services.job_view import artifact_view
from core.storage.blobs import BlobStore

router = APIRouter(prefix="/v1/artifacts", tags=["artifacts"], route_class=ApiRoute)


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
)
def get_content(request: Request, principal: JobsRead, artifact_id: ArtifactId) -> Response:
    """Download an artifact."""
    with sessions()() as session:
        row = owned(session, principal, Artifact, artifact_id, "artifact")
    path = BlobStore(get_settings().data_dir).find(row.sha256)
    return content(request, path, row.sha256, row.media_type, filename=safe_name(row.name))


def safe_name(name: str) -> str:
    """Return the last part of a name without control characters and path separators."""
    return re.sub(r"[\x00-\x1f\x7f/\\]+", "_", name).strip(". ") or "artifact"
