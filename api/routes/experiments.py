"""``/v1/experiments``: verdicts and the predictions behind them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.answers import json_response, tagged
from api.deps import ApiRoute, JobsRead, Requires
from api.ids import ExperimentId
from api.pagination import PageDep, encode_cursor, paged
from api.schemas import products as schemas
from core.config import get_settings
from core.db.models import Artifact, Experiment
from core.db.repositories.access import newest_first, owned
from core.db.session import sessions
from core.services.job_view import stamp
from core.services.prediction_rows import rows_of
from core.storage.blobs import BlobStore

router = APIRouter(prefix="/v1/experiments", tags=["experiments"], route_class=ApiRoute)


def _view(row: Experiment) -> dict[str, Any]:
    here = f"/v1/experiments/{row.id}"
    return {
        **row.verdict,
        "id": row.id,
        "job_id": row.job_id,
        "created_by": row.created_by,
        "dataset_version_id": row.dataset_version_id,
        "created_at": stamp(row.created_at),
        "links": {
            "self": here,
            "predictions": f"{here}/predictions",
            "predictions_file": f"/v1/artifacts/{row.predictions_artifact_id}/content",
            "job": f"/v1/jobs/{row.job_id}",
        },
    }


@router.get("", operation_id="experiments_list", response_model=schemas.ExperimentPage)
def list_experiments(principal: JobsRead, page: PageDep) -> Response:
    """List experiments, newest first."""
    with sessions()() as session:
        rows = newest_first(session, principal, Experiment, page.text(), page.limit + 1)
    return json_response(paged(rows, page, _view, lambda row: row.id))


@router.get("/{experiment_id}", operation_id="experiments_get", response_model=schemas.Experiment)
def get_experiment(request: Request, principal: JobsRead, experiment_id: ExperimentId) -> Response:
    """Return the verdict of an experiment, arm by arm and class by class."""
    with sessions()() as session:
        row = owned(session, principal, Experiment, experiment_id, "experiment")
    return tagged(request, _view(row))


@router.get(
    "/{experiment_id}/predictions",
    operation_id="experiments_list_predictions",
    response_model=schemas.PredictionRowPage,
    # names the images and their groups, as the file that it reads does
    dependencies=[Depends(Requires("datasets:read"))],
)
def list_predictions(principal: JobsRead, experiment_id: ExperimentId, page: PageDep) -> Response:
    """List the predictions of all arms on all held-out images."""
    with sessions()() as session:
        row = owned(session, principal, Experiment, experiment_id, "experiment")
        artifact = owned(session, principal, Artifact, row.predictions_artifact_id, "artifact")
    path = BlobStore(get_settings().data_dir).find(artifact.sha256)
    items, following = rows_of(path, page.number() or 0, page.limit)
    cursor = None if following is None else encode_cursor(following)
    return json_response({"items": items, "next_cursor": cursor})
