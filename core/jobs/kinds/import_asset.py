"""Job kind ``import_asset``: uploaded files become a body or a background to render with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from core.assets import AssetKind
from core.jobs.context import Inputs, JobContext
from core.jobs.spec import Cost, Params, Person, Result, UploadId, job_kind
from core.pointers import invalid

MAX_MESH_BYTES = 512 * 1024**2
MAX_PARTS_BYTES = 128 * 1024**2
MAX_IMAGE_BYTES = 256 * 1024**2
_LIMITS = {
    "upload_id": MAX_MESH_BYTES,
    "texture_upload_id": MAX_IMAGE_BYTES,
    "non_skin_upload_id": MAX_IMAGE_BYTES,
    "parts_upload_id": MAX_PARTS_BYTES,
}
_ONLY_BODIES = ("texture_upload_id", "non_skin_upload_id", "parts_upload_id", "groups")
_BYTES_PER_SECOND = 10e6
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class ImportAssetParams(Params):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "background",
                    "upload_id": "upl_" + "0" * 26,
                    "name": "examination room",
                    "licence": "CC0-1.0",
                }
            ]
        }
    )

    kind: AssetKind = Field(description="body: a mesh (OBJ or GLB); background: an image.")
    upload_id: UploadId
    name: Name
    licence: str = Field(
        "unknown",
        min_length=1,
        max_length=100,
        description="SPDX name of the licence; unknown ones are for internal use.",
    )
    texture_upload_id: UploadId | None = Field(
        None, description="Colours of a body, an image in its texture space."
    )
    non_skin_upload_id: UploadId | None = Field(
        None, description="Mask of a body, white where there is no skin, in its texture space."
    )
    parts_upload_id: UploadId | None = Field(
        None,
        description="Part of every vertex: JSON {names, vertices}, or a name or number a line.",
    )
    colour: Literal["texture", "model"] = Field(
        "texture", description="What colours a body: its own texture, or the skin model."
    )
    units: Literal["auto", "m", "dm", "cm", "mm"] = Field(
        "auto", description="Of a body's coordinates; auto: the one that makes it 0.4 to 2.6 m."
    )
    up: Literal["auto", "y", "z"] = Field(
        "auto", description="Axis of a body that points up; its front is then +z, or -y."
    )
    groups: list[Name] = Field(
        default_factory=list, max_length=64, description="Groups of an OBJ that belong to the body."
    )
    group_id: Person | None = Field(
        None,
        description="Whom it shows, as a group of images or of another asset: erased together, "
        "and never on both sides of a split. Without it the asset is a group of its own.",
    )


class ImportAssetResult(Result):
    asset_id: str
    kind: AssetKind
    info: dict[str, Any]
    warnings: list[str]


def _check(params: ImportAssetParams, inputs: Inputs) -> None:
    if params.kind == "background":
        for field in _ONLY_BODIES:
            if getattr(params, field):
                raise invalid(f"/{field}", "Only a body has that, this is a background")
    if params.colour == "model" and params.texture_upload_id:
        raise invalid("/colour", "A texture is given, so colour is 'texture'")
    for field, most in _LIMITS.items():
        upload_id = getattr(params, field)
        length = inputs.uploads[upload_id].length if upload_id else 1
        if length == 0:
            raise invalid(f"/{field}", "The upload is empty", "empty_upload")
        if length > most:
            raise invalid(f"/{field}", f"It has {length} bytes, at most {most}", "file_too_large")


def _estimate(_: ImportAssetParams, inputs: Inputs) -> Cost:
    size = sum(upload.length for upload in inputs.uploads.values())
    return Cost(seconds=1.0 + size / _BYTES_PER_SECOND)


@job_kind(
    "import_asset",
    params=ImportAssetParams,
    result=ImportAssetResult,
    queue="io",
    timeout=1800.0,
    check=_check,
    estimate=_estimate,
    scopes=("datasets:write",),
)
def import_asset(ctx: JobContext, params: ImportAssetParams) -> ImportAssetResult:
    """Check a mesh with its texture, or a background, and keep it to render with."""
    files: dict[str, str] = {}
    info: dict[str, Any] = {}
    warnings: list[str] = []
    if params.kind == "body":
        ctx.progress("mesh", 0, 2)
        files, info, warnings = _take_mesh(ctx, params)
    ctx.progress("images", 1, 2)
    info |= {"images": _take_images(ctx, params, files)}
    if params.kind == "body" and params.colour == "texture" and "texture" not in files:
        raise invalid(
            "/texture_upload_id",
            "The body has no texture: send the image that colours it, or colour: model for the "
            "skin model",
            "texture_missing",
        )
    for warning in warnings:
        ctx.log(f"warning: {warning}")
    info |= {"warnings": warnings}
    draft = ctx.publish_asset(
        params.kind,
        params.name,
        files,
        licence=params.licence,
        info=info,
        group_id=params.group_id,
    )
    ctx.progress("images", 2, 2)
    return ImportAssetResult(asset_id=draft.id, kind=params.kind, info=info, warnings=warnings)


def _take_mesh(
    ctx: JobContext, params: ImportAssetParams
) -> tuple[dict[str, str], dict[str, Any], list[str]]:
    from core.ingest.foreign_mesh import read_foreign_mesh
    from core.ingest.rejects import Rejected
    from core.rendering.own_mesh import MeshOptions
    from core.rendering.surface_file import MESH_FILE, TEXTURE_FILE

    options = MeshOptions(
        params.units, params.up, tuple(params.groups), max_pixels=ctx.limits.image_pixels
    )
    mesh = read_foreign_mesh(
        _bytes(ctx, params.upload_id),
        _bytes(ctx, params.parts_upload_id) if params.parts_upload_id else None,
        options,
        ctx.limits.decoder,
        ctx.check_cancelled,
    )
    if isinstance(mesh, Rejected):
        field = "parts_upload_id" if mesh.code.startswith("parts_") else "upload_id"
        raise invalid(f"/{field}", mesh.detail, mesh.code)
    files = {MESH_FILE: ctx.put(mesh.data)}
    warnings = list(mesh.warnings)
    if mesh.texture and params.colour == "texture" and not params.texture_upload_id:
        files[TEXTURE_FILE] = ctx.put(mesh.texture)
    elif mesh.textured and params.colour == "model":
        warnings.append("The file names a texture; the skin model colours the body instead")
    return files, mesh.facts.model_dump(), warnings


def _take_images(
    ctx: JobContext, params: ImportAssetParams, files: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """Decode the images that came along into ``files``; return the size of each."""
    from core.ingest.foreign import ForeignImages
    from core.ingest.rejects import Rejected
    from core.rendering.surface_file import BACKGROUND_FILE, MASK_FILE, TEXTURE_FILE

    wanted = {"texture_upload_id": TEXTURE_FILE, "non_skin_upload_id": MASK_FILE}
    if params.kind == "background":
        wanted = {"upload_id": BACKGROUND_FILE}
    fields = {field: name for field, name in wanted.items() if getattr(params, field)}
    sizes: dict[str, dict[str, Any]] = {}
    if not fields:
        return sizes
    limits = ctx.limits
    sent = ((field, _bytes(ctx, getattr(params, field))) for field in fields)
    with ForeignImages(1, limits.image_pixels, limits.decoder, ctx.check_cancelled) as foreign:
        for field, _, image in foreign.images(sent):
            if isinstance(image, Rejected):
                raise invalid(f"/{field}", image.detail, image.code)
            files[fields[field]] = ctx.put(image.data)
            facts = image.facts
            sizes[fields[field]] = {
                "width": facts.width,
                "height": facts.height,
                "media_type": facts.media_type,
            }
    return sizes


def _bytes(ctx: JobContext, upload_id: str) -> bytes:
    return Path(ctx.inputs.uploads[upload_id].path).read_bytes()
