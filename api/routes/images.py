"""``/v1/images``: provenance and pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.answers import tagged
from api.contents import content
from api.deps import ApiRoute, DatasetsRead
from api.ids import ImageIdPath
from api.schemas import datasets as schemas
from api.thumbnails import ThumbnailMaker
from core.annotations import EXTENSIONS, MASK, PNG, annotation_blobs, find, media_type
from core.config import get_settings
from core.db.models import Image
from core.db.repositories import images
from core.db.session import sessions
from core.errors import NotFound
from core.services import thumbnails
from core.services.principal import Principal
from core.services.version_view import annotation_views, image_detail
from core.storage.blobs import BlobStore

router = APIRouter(prefix="/v1/images", tags=["images"], route_class=ApiRoute)

PIXELS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Pixels; `Range` and `If-None-Match` are honoured.",
        "content": {
            "image/*": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file; `Range` and `If-None-Match` are honoured.",
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}} for kind in EXTENSIONS
        },
    }
}
Size = Annotated[Literal["64", "128", "256", "512"], Query(description="Longest side in pixels.")]

AnnotationName = Annotated[
    str,
    PathParameter(
        description="A name that the list has; `skin` is `regions`, `parts` is `parts_16`.",
        json_schema_extra={"example": MASK},
    ),
]


def _newest(principal: Principal, image_id: str) -> Image:
    with sessions()() as session:
        return images.newest(session, principal, image_id)


def _store() -> BlobStore:
    return BlobStore(get_settings().data_dir)


@router.get("/{image_id}", operation_id="images_get", response_model=schemas.ImageDetail)
def get_image(request: Request, principal: DatasetsRead, image_id: ImageIdPath) -> Response:
    """Return an image as its newest version has it, with metadata and provenance."""
    return tagged(request, image_detail(_newest(principal, image_id)))


@router.get(
    "/{image_id}/content",
    operation_id="images_get_content",
    response_class=Response,
    responses=PIXELS,
)
def get_content(request: Request, principal: DatasetsRead, image_id: ImageIdPath) -> Response:
    """Return the stored bytes."""
    image = _newest(principal, image_id)
    return content(request, _store().find(image.sha256), image.sha256, image.media_type)


@router.get(
    "/{image_id}/thumbnail",
    operation_id="images_get_thumbnail",
    response_class=Response,
    responses=PIXELS,
)
async def get_thumbnail(
    request: Request, principal: DatasetsRead, image_id: ImageIdPath, size: Size = "256"
) -> Response:
    """Return a small WebP picture; 503 while too many others are being made."""
    store = _store()
    image, path = await run_in_threadpool(_known_thumbnail, principal, store, image_id, int(size))
    if path is None:
        maker: ThumbnailMaker = request.app.state.thumbnails
        path = await maker.make(principal.tenant_id, store, image.sha256, int(size))
    return content(request, path, f"{image.sha256}-{size}", thumbnails.MEDIA_TYPE)


def _known_thumbnail(
    principal: Principal, store: BlobStore, image_id: str, size: int
) -> tuple[Image, Path | None]:
    image = _newest(principal, image_id)
    return image, thumbnails.find(store, image.sha256, size)


@router.get(
    "/{image_id}/annotations",
    operation_id="images_list_annotations",
    response_model=schemas.Annotations,
)
def list_annotations(request: Request, principal: DatasetsRead, image_id: ImageIdPath) -> Response:
    """List what is annotated on an image, by name: masks, and what a renderer knows of it."""
    items = annotation_views(_newest(principal, image_id), _store())
    return tagged(request, {"items": items, "next_cursor": None})


@router.get(
    "/{image_id}/annotations/{annotation}",
    operation_id="images_get_annotation",
    response_class=Response,
    responses=FILES,
)
def get_annotation(
    request: Request,
    principal: DatasetsRead,
    image_id: ImageIdPath,
    annotation: AnnotationName,
) -> Response:
    """Return an annotation: a PNG, arrays (NPZ) or JSON; 404 names those that there are."""
    image = _newest(principal, image_id)
    known = annotation_blobs(image.provenance)
    sha256 = find(known, annotation)
    if sha256 is None:
        there = ", ".join(sorted(known)) or "nothing"
        raise NotFound(
            f"The image has no annotation {annotation[:80]!r}; there is {there}",
            code="annotation_not_found",
            extra={"annotations": sorted(known)},
        )
    kind = media_type(annotation, image.source)
    name = None
    if kind != PNG:
        name = f"{image.image_id}.{annotation}{EXTENSIONS[kind]}"
    return content(request, _store().find(sha256), sha256, kind, filename=name)
