"""``/v1/catalog``: what can be asked for."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.answers import tagged
from api.deps import ApiRoute, Requires
from api.schemas import products as schemas
from core.db.repositories import job_queries
from core.db.session import sessions
from core.learning.segmentation import schema as segmentation
from core.learning.verdict_schema import json_schema
from core.services.catalog import catalog
from core.services.job_view import silence_seconds

router = APIRouter(prefix="/v1/catalog", tags=["catalog"], route_class=ApiRoute)


@router.get(
    "",
    operation_id="catalog_get",
    response_model=schemas.Catalog,
    dependencies=[Depends(Requires("jobs:read"))],
)
def get_catalog(request: Request) -> Response:
    """Return all kinds and capabilities, with the schemas of their parameters."""
    with sessions()() as session:
        workers = job_queries.live_workers(session, silence_seconds())
    return tagged(request, catalog(workers))


@router.get(
    "/verdict-schema",
    operation_id="catalog_get_verdict_schema",
    response_model=dict[str, Any],
    dependencies=[Depends(Requires("jobs:read"))],
)
def get_verdict_schema(request: Request) -> Response:
    """Return the JSON Schema of verdict.json, which every experiment follows."""
    return tagged(request, json_schema())


@router.get(
    "/segmentation-schema",
    operation_id="catalog_get_segmentation_schema",
    response_model=dict[str, Any],
    dependencies=[Depends(Requires("jobs:read"))],
)
def get_segmentation_schema(request: Request) -> Response:
    """Return the JSON Schema of segmentation.json, which every train_segmentation job follows."""
    return tagged(request, segmentation.json_schema())
