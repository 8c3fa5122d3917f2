"""A part of extract_features: computes what is missing in one range of images."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from core.jobs.context import JobContext
from core.jobs.spec import Params, Result, VersionId, job_kind


class ExtractFeaturesShardParams(Params):
    """A range of the different images of the versions, in all wanted views."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "dataset_version_ids": ["dsv_" + "0" * 26],
                    "backbone": "efficientnet_lite0",
                    "batch_size": 32,
                    "dihedral": [0],
                    "start": 0,
                    "stop": 256,
                }
            ]
        }
    )

    dataset_version_ids: list[VersionId] = Field(min_length=1, max_length=100)
    backbone: str
    batch_size: int = Field(ge=1, le=1024)
    dihedral: list[int]
    start: int = Field(ge=0)
    stop: int = Field(ge=0)


class ExtractFeaturesShardResult(Result):
    computed: int
    cached: int


@job_kind(
    "extract_features_shard",
    params=ExtractFeaturesShardParams,
    result=ExtractFeaturesShardResult,
    queue="gpu",
    profile="torch",
    public=False,
)
def extract_features_shard(
    ctx: JobContext, params: ExtractFeaturesShardParams
) -> ExtractFeaturesShardResult:
    """Compute the features of one range of images into the shared cache."""
    from core.features.extract import features
    from core.features.shards import unique_items, usable

    records = usable(r for v in params.dataset_version_ids for r in ctx.manifest(v))
    items = unique_items(records, params.dihedral)[params.start : params.stop]
    table = features(ctx, items, params.backbone, batch_size=params.batch_size)
    return ExtractFeaturesShardResult(computed=table.computed, cached=table.cached)
