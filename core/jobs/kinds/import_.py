"""Job kind ``import``: an uploaded archive becomes a dataset version."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from core.jobs.context import Inputs, JobContext
from core.jobs.spec import (
    Cost,
    Params,
    Result,
    Seed,
    UploadId,
    VersionId,
    job_kind,
)
from core.pointers import invalid

if TYPE_CHECKING:
    from core.ingest.intake import IntakeOptions

LayoutName = Literal[
    "auto", "imagefolder", "csv", "ham10000", "isic", "derm7pt", "fitzpatrick17k", "masks"
]
Column = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]

_BYTES_PER_IMAGE = 100_000
_IMAGES_PER_SECOND = 400.0
UNKNOWN_LICENCE = "unknown"


class ImportParams(Params):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "upload_id": "upl_" + "0" * 26,
                    "name": "HAM10000",
                    "layout": "auto",
                    "licence": "CC-BY-NC-4.0",
                }
            ]
        }
    )

    upload_id: UploadId
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] = (
        Field(description="Name of the dataset.")
    )
    layout: LayoutName = Field("auto", description="How files and tables name the labels.")
    licence: str = Field(
        UNKNOWN_LICENCE,
        min_length=1,
        max_length=100,
        description="SPDX name of the licence of the images; unknown ones are for internal use.",
    )
    label_column: Column | None = Field(None, description="Column of the label; None: by layout.")
    group_column: Column | None = Field(
        None, description="Column whose equal values keep images in one group."
    )
    append_to: VersionId | None = Field(
        None, description="Version of real images to add to; its dataset gets a new version."
    )
    near_duplicates: Literal["auto", "fast", "thorough"] = Field(
        "fast",
        description="fast finds flips, quarter turns, other sizes and compression; thorough also "
        "crops and free turns, at about 15 ms an image; auto: thorough up to 5,000 images.",
    )
    seed: Seed = 0


class ImportResult(Result):
    dataset_id: str
    dataset_version_id: str
    accepted: int
    rejected: int
    annotations: int = Field(0, description="Mask files that were taken along with their images.")
    warnings: list[str]


def _check(params: ImportParams, inputs: Inputs) -> None:
    if inputs.uploads[params.upload_id].length == 0:
        raise invalid("/upload_id", "The upload is empty", "not_an_archive")
    if params.append_to and inputs.versions[params.append_to].kind != "real":
        raise invalid("/append_to", "Images are added to real versions only", "not_a_real_version")


def _estimate(params: ImportParams, inputs: Inputs) -> Cost:
    images = max(1, inputs.uploads[params.upload_id].length // _BYTES_PER_IMAGE)
    return Cost(seconds=1.0 + images / _IMAGES_PER_SECOND, images=images)


@job_kind(
    "import",
    params=ImportParams,
    result=ImportResult,
    queue="io",
    timeout=6 * 3600.0,
    check=_check,
    estimate=_estimate,
    scopes=("datasets:write",),
)
def import_(ctx: JobContext, params: ImportParams) -> ImportResult:
    """Read an archive of labelled images into a dataset version; bad files become rejects."""
    from pathlib import Path

    from core.ingest.append import append
    from core.ingest.images import decode
    from core.ingest.intake import ingest
    from core.ingest.rejects import as_csv, as_json_lines

    upload = ctx.inputs.uploads[params.upload_id]
    options = _options(ctx, params)
    intake = ingest(Path(upload.path), options, ctx.put, ctx.progress, ctx.threads)
    accepted = len(intake.records)
    previous = ctx.inputs.versions[params.append_to] if params.append_to else None
    if previous is not None:
        ctx.progress("append", 0, 1)
        intake = append(
            ctx.manifest(previous.id),
            intake,
            lambda sha256: decode(ctx.blob(sha256)),
            near=options.near,
            aligned=options.aligned,
            group_column=params.group_column,
            seed=params.seed,
            threads=ctx.threads,
        )
        accepted = int(intake.info["added"])
    for warning in intake.warnings:
        ctx.log(f"warning: {warning}")
    ctx.log(f"{accepted} images taken, {len(intake.rejects)} files rejected")
    ctx.artifact("rejects.csv", as_csv(intake.rejects), "text/csv")
    rejects_blob = ctx.put(as_json_lines(intake.rejects))
    ctx.progress("publish", 0, 1)
    draft = ctx.publish_version(
        intake.records,
        kind="real",
        name=previous.dataset_name if previous else params.name,
        dataset_id=previous.dataset_id if previous else None,
        parents=[previous.id] if previous else [],
        licence=_licence([params.licence, *([previous.licence] if previous else [])]),
        info=intake.info | {"rejects_blob": rejects_blob, "warnings": list(intake.warnings)},
    )
    ctx.progress("publish", 1, 1)
    return ImportResult(
        dataset_id=draft.dataset_id,
        dataset_version_id=draft.id,
        accepted=accepted,
        rejected=len(intake.rejects),
        annotations=int(intake.info.get("annotation_files", 0)),
        warnings=list(intake.warnings),
    )


def _options(ctx: JobContext, params: ImportParams) -> IntakeOptions:
    from core.ingest.archive import ArchiveLimits
    from core.ingest.intake import IntakeOptions

    return IntakeOptions(
        layout=params.layout,
        label_column=params.label_column,
        group_column=params.group_column,
        near_duplicates=params.near_duplicates,
        existing=_existing(ctx, params),
        seed=params.seed,
        limits=ArchiveLimits(
            files=ctx.limits.archive_files,
            total_bytes=ctx.limits.archive_bytes,
            ratio=ctx.limits.archive_ratio,
        ),
        max_pixels=ctx.limits.image_pixels,
        decoder=ctx.limits.decoder,
    )


def _existing(ctx: JobContext, params: ImportParams) -> int:
    return ctx.inputs.versions[params.append_to].image_count if params.append_to else 0


def _licence(licences: Iterable[str]) -> str:
    """Return the licence of images under several: all of them, and unknown if one is."""
    names = sorted(set(licences))
    return UNKNOWN_LICENCE if UNKNOWN_LICENCE in names else " AND ".join(names)
