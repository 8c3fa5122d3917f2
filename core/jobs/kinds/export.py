"""Exports dataset versions as one archive with checksums, as far as their licences allow."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from pydantic import ConfigDict, Field

from core.jobs.context import Inputs, JobContext, VersionInput
from core.jobs.spec import Cost, Params, Result, VersionId, job_kind
from core.pointers import invalid

_IMAGES_PER_SECOND = 800.0
_BYTES_PER_SECOND = 250e6
"""Of images with all their annotations, whose masks are read and coded: measured at 512 pixels."""


class ExportParams(Params):
    """Versions that go into one archive, its layout, and what it is for."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "dataset_version_ids": ["dsv_" + "0" * 26],
                    "format": "imagefolder",
                    "purpose": "internal",
                }
            ]
        }
    )

    dataset_version_ids: list[VersionId] = Field(min_length=1, max_length=100)
    format: Literal["imagefolder", "csv", "coco", "hf", "croissant"] = Field(
        "imagefolder",
        description="imagefolder: a folder a class; csv: one folder and a table; coco: with "
        "instances.json; hf: Parquet for Hugging Face datasets; croissant: with croissant.json.",
    )
    purpose: Literal["internal", "share", "commercial"] = Field(
        "internal", description="What the archive is for; refused where a licence forbids it."
    )


class ExportResult(Result):
    """files counts the images, bytes is the size of the archive."""

    files: int
    bytes: int


def check(params: ExportParams, inputs: Inputs) -> None:
    """Refuse a purpose that a licence forbids, and versions without an image to export."""
    versions = [inputs.versions[v] for v in dict.fromkeys(params.dataset_version_ids)]
    _require_allowed(params, versions, derived=any(v.kind == "synthetic" for v in versions))
    if not any(c.count for v in versions for c in v.classes):
        raise invalid("/dataset_version_ids", "There is no image to export", "nothing_to_export")


def _require_allowed(
    params: ExportParams, versions: Iterable[VersionInput], *, derived: bool
) -> None:
    from core.export.licences import lineage, refusal

    refused = refusal(lineage(v.licence for v in versions), params.purpose, derived=derived)
    if refused is not None:
        detail = f"An export for the purpose {params.purpose!r} is not allowed: {refused.reason}"
        raise invalid("/purpose", detail, "licence_forbids")


def estimate(params: ExportParams, inputs: Inputs) -> Cost:
    """Estimate from images copied and hashed per second; COCO takes all annotations along."""
    versions = [inputs.versions[v] for v in dict.fromkeys(params.dataset_version_ids)]
    images = sum(version.image_count for version in versions)
    taken = sum(version.bytes for version in versions) if params.format == "coco" else 0
    seconds = 1 + images / _IMAGES_PER_SECOND + taken / _BYTES_PER_SECOND
    return Cost(seconds=seconds, images=images)


@job_kind(
    "export",
    params=ExportParams,
    result=ExportResult,
    queue="io",
    timeout=4 * 3600.0,
    check=check,
    estimate=estimate,
    scopes=("datasets:read",),
)
def export(ctx: JobContext, params: ExportParams) -> ExportResult:
    """Exports dataset versions as one ZIP with metadata, dataset card and checksums."""
    from core.export.card import Origin
    from core.export.licences import lineage
    from core.export.writing import Export, arranged, write_export

    versions = [ctx.inputs.versions[v] for v in dict.fromkeys(params.dataset_version_ids)]
    ctx.progress("plan", 0, 1)
    images = arranged(((v.licence, ctx.manifest(v.id)) for v in versions), params.format)
    if not images:
        raise invalid("/dataset_version_ids", "There is no image to export", "nothing_to_export")
    made = any(e.record.source == "synthetic" for e in images)
    _require_allowed(params, versions, derived=made)
    bundle = Export(
        format=params.format,
        origins=tuple(
            Origin(
                name=v.dataset_name,
                version_id=v.id,
                kind=v.kind,
                manifest_sha256=v.manifest_sha256,
                licence=v.licence,
                group_basis=v.group_basis,
                created=v.created_at,
                generator=v.generator,
            )
            for v in versions
        ),
        images=images,
        licences=lineage(v.licence for v in versions),
        purpose=params.purpose,
    )
    target = ctx.scratch / "export.zip"
    write_export(
        target,
        bundle,
        ctx.blob,
        lambda done: ctx.progress("export", done, len(images)),
        ctx.scratch,
    )
    archive = ctx.artifact(_archive_name(versions), target, "application/zip")
    return ExportResult(files=len(images), bytes=archive.bytes)


def _archive_name(versions: Iterable[VersionInput]) -> str:
    joined = "_".join(v.dataset_name for v in versions)
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", joined).strip("-.")[:80].rstrip("-.")
    return f"{slug or 'dataset'}.zip"
