"""Turn images into feature vectors with a pretrained network, cached on the shared volume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field

from core.features.contract import check_backbone
from core.jobs.context import Children, ChildSpec, Inputs, JobContext
from core.jobs.spec import Cost, Params, Result, VersionId, job_kind
from core.manifest import ImageRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from core.features.extract import FeatureItem

IMAGES_PER_SECOND = 30.0
"""Of a small host: two cores without bfloat16."""


class ExtractFeaturesParams(Params):
    """Versions, and the backbone that reads their images."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"dataset_version_ids": ["dsv_" + "0" * 26], "backbone": "efficientnet_lite0"}
            ]
        }
    )

    dataset_version_ids: list[VersionId] = Field(min_length=1, max_length=100)
    backbone: str = Field("efficientnet_lite0", description="A backbone of the catalog.")
    batch_size: int = Field(
        32,
        ge=1,
        le=1024,
        description="Images that a GPU runs together; a CPU always takes slices of eight.",
    )
    dihedral: list[Annotated[int, Field(ge=0, le=7)]] = Field(
        default_factory=lambda: [0],
        min_length=1,
        max_length=8,
        description="Views to compute: 0 as stored, 1-3 quarter turns, 4-7 mirrored. Further views "
        "are kept for experiments; the files list the images as stored.",
    )


class ExtractFeaturesResult(Result):
    """computed and cached count different images and views; images counts rows of the files."""

    backbone: str
    backbone_sha256: str
    dimension: int
    images: int
    computed: int
    cached: int


def check(params: ExtractFeaturesParams, _inputs: Inputs) -> None:
    """Refuse a backbone that does not exist."""
    check_backbone(params.backbone, "/backbone")


def estimate(params: ExtractFeaturesParams, inputs: Inputs) -> Cost:
    images = sum(inputs.versions[v].image_count for v in params.dataset_version_ids)
    views = len({0, *params.dihedral})
    return Cost(seconds=3 + images * views / IMAGES_PER_SECOND, images=images)


@job_kind(
    "extract_features",
    params=ExtractFeaturesParams,
    result=ExtractFeaturesResult,
    queue="gpu",
    profile="torch",
    check=check,
    estimate=estimate,
    scopes=("datasets:read",),
)
def extract_features(
    ctx: JobContext, params: ExtractFeaturesParams
) -> ExtractFeaturesResult | Children:
    """Extracts features of every image that is not quarantined; what is cached is not computed."""
    from core.features.contract import open_backbone
    from core.features.export import write_features
    from core.features.extract import FeatureItem, features, missing_items
    from core.features.shards import SHARD_IMAGES, unique_items, usable

    spec = open_backbone(params.backbone, ctx.weights_dir, "/backbone")
    weights = spec.find(ctx.weights_dir)
    records = usable(r for v in params.dataset_version_ids for r in ctx.manifest(v))
    items = unique_items(records, [0, *params.dihedral])
    if not ctx.children:
        missing = missing_items(ctx, items, params.backbone)
        if len(missing) > SHARD_IMAGES:
            return _shards(params, items, missing)
    computed = sum(int(child.result["computed"]) for child in ctx.children)
    done = 0

    def load(chunk: Sequence[ImageRecord]) -> NDArray[np.float32]:
        nonlocal computed, done
        wanted = [FeatureItem(record.sha256) for record in chunk]
        views = unique_items(chunk, params.dihedral)
        span = (done / len(records), (done + len(chunk)) / len(records))
        further = [item for item in views if item.dihedral]
        part = features(
            ctx, [*wanted, *further], params.backbone, batch_size=params.batch_size, span=span
        )
        computed += part.computed
        done += len(chunk)
        return part.matrix[: len(chunk)]

    parquet, csv = write_features(ctx.scratch, spec.name, spec.dimension, records, load)
    ctx.artifact("features.parquet", parquet, "application/vnd.apache.parquet")
    ctx.artifact("features.csv", csv, "text/csv")
    return ExtractFeaturesResult(
        backbone=spec.name,
        backbone_sha256=weights.sha256,
        dimension=spec.dimension,
        images=len(records),
        computed=min(computed, len(items)),
        cached=max(0, len(items) - computed),
    )


def _shards(
    params: ExtractFeaturesParams, items: Sequence[FeatureItem], missing: Sequence[FeatureItem]
) -> Children:
    from core.features.shards import plan_shards

    shared = params.model_dump(mode="json") | {"dihedral": sorted({0, *params.dihedral})}
    children = [
        ChildSpec(
            kind="extract_features_shard",
            params=shared | {"start": start, "stop": stop},
            weight=stop - start,
            role=f"shard {number}",
        )
        for number, (start, stop) in enumerate(plan_shards(items, missing))
    ]
    return Children(phase="features", children=tuple(children), span=(0.0, 0.9))


def features_first(
    ctx: JobContext, version_ids: Sequence[str], backbone: str, records: Sequence[ImageRecord]
) -> Children | None:
    """Return the extraction to run before another kind, if much is missing; else None."""
    return all_features_first(ctx, version_ids, [backbone], records)


def all_features_first(
    ctx: JobContext,
    version_ids: Sequence[str],
    backbones: Sequence[str],
    records: Sequence[ImageRecord],
) -> Children | None:
    """Return the extractions of several backbones to run before another kind; None for none."""
    from core.features.extract import missing_items
    from core.features.shards import SHARD_IMAGES, unique_items

    if ctx.children:
        return None
    items = unique_items(records)
    children = [
        ChildSpec(
            kind="extract_features",
            params={"dataset_version_ids": list(version_ids), "backbone": backbone},
            role="features",
        )
        for backbone in backbones
        if len(missing_items(ctx, items, backbone)) > SHARD_IMAGES
    ]
    if not children:
        return None
    return Children(phase="features", children=tuple(children), span=(0.0, 0.8))
