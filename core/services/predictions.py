"""Predictions on images that a caller may see, and models as callers see them."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from core.db.models import TrainedModel
from core.db.repositories import products
from core.errors import NotFound
from core.jobs.spec import Params
from core.services.job_view import stamp
from core.services.principal import Principal

KIND = "predict"
INTENDED_USE = "research only, not for diagnosis"


def check_visible(session: Session, principal: Principal, kind: str, params: Params) -> None:
    """Refuse a predict job on bytes that are not those of an image of the caller."""
    if kind != KIND:
        return
    wanted = {image["sha256"] for image in params.model_dump()["images"]}
    hidden = wanted - products.visible_blobs(session, principal, wanted)
    if hidden:
        raise NotFound(f"There is no image with sha256 {min(hidden)}", code="image_not_found")


def model_view(model: TrainedModel) -> dict[str, Any]:
    """Return a model as a JSON object; only classifiers have a link to predict."""
    classifies = model.info.get("task") != "segmentation"
    predict = {"predict": f"/v1/models/{model.id}/predict"} if classifies else {}
    return {
        "id": model.id,
        "name": model.name,
        "job_id": model.job_id,
        "created_by": model.created_by,
        "created_at": stamp(model.created_at),
        "info": model.info,
        "files": model.files,
        "intended_use": INTENDED_USE,
        "links": {
            "self": f"/v1/models/{model.id}",
            **predict,
            "job": f"/v1/jobs/{model.job_id}",
        },
    }
