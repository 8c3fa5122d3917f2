"""``/v1/groups``: erasure of a patient or lesion."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from starlette.responses import Response

from api.answers import json_response
from api.deps import ApiRoute, DatasetsRead, DatasetsWrite, Requires
from api.ids import GroupId
from api.schemas import access as schemas
from core.config import get_settings
from core.db.models import Erasure
from core.db.repositories import erasures
from core.db.session import sessions
from core.services.erasure import erase
from core.services.erasure_plan import make_plan
from core.services.job_view import stamp
from core.storage.blobs import BlobStore

router = APIRouter(prefix="/v1/groups", tags=["groups"], route_class=ApiRoute)


@router.get("/{group_id}", operation_id="groups_get", response_model=schemas.Group)
def get_group(principal: DatasetsRead, group_id: GroupId) -> Response:
    """List the images and assets of a patient or lesion and everything derived from them."""
    from core.features.forgetting import count_rows

    store = BlobStore(get_settings().data_dir)
    with sessions()() as session:
        erasures.take_time(session)
        plan = make_plan(session, principal, group_id, store)
        named, counts = plan.named(), plan.counts()
    counts["feature_rows"] = count_rows(store.root / "features", plan.image_bytes)
    return json_response({"id": group_id, "counts": counts, **named})


@router.delete(
    "/{group_id}",
    operation_id="groups_delete",
    response_model=schemas.Erasure,
    responses={202: {"model": schemas.Erasure, "description": "Files are still being removed."}},
    dependencies=[Depends(Requires(scope)) for scope in ("jobs:write", "models:write")],
)
def delete_group(principal: DatasetsWrite, group_id: GroupId) -> Response:
    """Erase a patient or lesion: images, assets, what was made of them; 409 names unfinished jobs.

    `GET` lists beforehand what goes. A second time tells of the first. 202: the tables are clean,
    and the last files go within the next round of housekeeping.
    """
    store = BlobStore(get_settings().data_dir)
    erasure = erase(sessions(), principal, group_id, store)
    return json_response(_view(erasure), 200 if erasure.completed_at else 202)


def _view(row: Erasure) -> dict[str, Any]:
    return {
        "id": row.id,
        "status": "done" if row.completed_at else "removing_files",
        "counts": {"assets": 0} | row.counts,  # older ones knew of none
        "created_at": stamp(row.created_at),
        "completed_at": stamp(row.completed_at),
    }
