"""The privacy gate of an experiment: which synthetic images no fold may train on."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from core.jobs.context import JobContext
from core.jobs.spec import Params, Result, VersionId, job_kind


class ExperimentGateParams(Params):
    """The real version, and every synthetic one that some fold may train on."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "dataset_version_id": "dsv_" + "0" * 26,
                    "synthetic_version_ids": ["dsv_" + "1" * 26],
                }
            ]
        }
    )

    dataset_version_id: VersionId
    synthetic_version_ids: list[VersionId] = Field(min_length=1)


class ExperimentGateResult(Result):
    examined: int
    quarantined: int


@job_kind(
    "experiment_gate",
    params=ExperimentGateParams,
    result=ExperimentGateResult,
    queue="cpu",
    timeout=4 * 3600.0,
    public=False,
)
def experiment_gate(ctx: JobContext, params: ExperimentGateParams) -> ExperimentGateResult:
    """Look for synthetic images that show a real one which they do not declare."""
    from core.jobs.privacy_gate import novel_ids, publish, screened
    from core.learning.cohort import usable_synthetic_records

    real = ctx.manifest(params.dataset_version_id)
    made, novel = [], set[str]()
    for version_id in params.synthetic_version_ids:
        records = ctx.manifest(version_id)
        novel |= novel_ids(ctx, version_id, records)
        made += records
    found = screened(ctx, real, usable_synthetic_records(made), novel, span=(0.0, 0.95))
    publish(ctx, found)
    return ExperimentGateResult(
        examined=sum(found.examined.values()), quarantined=len(found.image_ids)
    )
