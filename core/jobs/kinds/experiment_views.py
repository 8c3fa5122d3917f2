"""A part of an experiment's features: views that images are not stored in, for some of its arms.

Flips and turns of real images for ``augment``, noise of synthetic ones for ``control_noise``.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from core.jobs.context import JobContext
from core.jobs.spec import Params, Result, VersionId, job_kind

View = tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1, le=7)]]
"""Row of the experiment's cohort, and which flip or turn of that image."""
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class ExperimentViewsParams(Params):
    """Views that some fold trains on; no view stands in two jobs of one experiment.

    noise holds the sha256 of images whose noise is wanted.
    """

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
    views: list[View] = Field(default_factory=list)
    noise: list[Sha256] = Field(default_factory=list)


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
    """Compute the features of some views into the shared cache."""
    from core.features.extract import FeatureItem, features
    from core.learning.arms import NOISE_VIEW
    from core.learning.cohort import cohort

    records = cohort(ctx.manifest(params.dataset_version_id)).records
    items = [FeatureItem(records[row].sha256, view) for row, view in params.views]
    items += [FeatureItem(sha256, NOISE_VIEW) for sha256 in params.noise]
    table = features(ctx, items, params.backbone)
    return ExperimentViewsResult(computed=table.computed, cached=table.cached)
