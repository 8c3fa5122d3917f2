"""A part of an experiment's features: flips and turns of real images, for the arm ``augment``."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from core.jobs.context import JobContext
from core.jobs.spec import Params, Result, VersionId, job_kind

View = tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1, le=7)]]
"""Row of the experiment's cohort, and which flip or turn of that image."""


class ExperimentViewsParams(Params):
    """Views that some fold trains on; no view stands in two jobs of one experiment."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "dataset_version_id": "dsv_" + "0" * 26,
                    "backbone": "efficientnet_lite0",
                    "views": [[0, 1], [7, 3]],
                }
            ]
        }
    )

    dataset_version_id: VersionId
    backbone: str
    views: list[View] = Field(min_length=1)


class ExperimentViewsResult(Result):
    computed: int
    cached: int


@job_kind(
    "experiment_views",
    params=ExperimentViewsParams,
    result=ExperimentViewsResult,
    queue="gpu",
    profile="torch",
    public=False,
)
def experiment_views(ctx: JobContext, params: ExperimentViewsParams) -> ExperimentViewsResult:
    """Compute the features of some flips and turns into the shared cache."""
    from core.features.extract import FeatureItem, features
    from core.learning.cohort import cohort

    records = cohort(ctx.manifest(params.dataset_version_id)).records
    items = [FeatureItem(records[row].sha256, view) for row, view in params.views]
    table = features(ctx, items, params.backbone)
    return ExperimentViewsResult(computed=table.computed, cached=table.cached)
