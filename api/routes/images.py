"""``/v1/images``: provenance and pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.answers import tagged
from api.contents import content
from api.deps import ApiRoute, DatasetsRead
from api.ids import ImageIdPath
from api.schemas import datasets as schemas
from api.thumbnails import ThumbnailMaker
from core.config import get_settings
from core.db.models import Image
from core.db.repositories import images
from core.db.session import sessions
from core.errors import NotFound
from core.services import thumbnails
from core.services.principal import Principal
from core.services.version_view import image_detail
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
Size = Annotated[Literal["64", "128", "256", "512"], Query(description="Longest side in pixels.")]


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
    "/{image_id}/annotations/{annotation}",
    operation_id="images_get_annotation",
    response_class=Response,
    responses=PIXELS,
)
def get_annotation(
    request: Request,
    principal: DatasetsRead,
    image_id: ImageIdPath,
    annotation: Literal["mask"],
) -> Response:
    """Return the lesion mask of an image: PNG, 255 inside."""
    known = _newest(principal, image_id).provenance.get("annotations") or {}
    sha256 = known.get(annotation)
    if sha256 is None:
        raise NotFound(f"The image has no {annotation}", code="annotation_not_found")
    path: Path = _store().find(sha256)
    return content(request, path, sha256, "image/png")
