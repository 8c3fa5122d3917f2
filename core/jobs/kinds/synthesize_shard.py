"""Makes one slice of the images of a synthesize job."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from core.jobs.context import JobContext
from core.jobs.kinds.synthesize import Campaign, SynthesizeSlice, check_slice
from core.jobs.spec import Result, job_kind
from core.pointers import invalid


class SynthesizeShardParams(SynthesizeSlice):
    """The parameters of the parent, and the slice of its plan."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "dataset_version_id": "dsv_" + "0" * 26,
                    "counts": {"mel": 256},
                    "start": 0,
                    "stop": 128,
                }
            ]
        }
    )

    surveys: tuple[str, ...] = Field((), description="Blobs of what was found out before.")


class SynthesizeShardResult(Result):
    generated: int


@job_kind(
    "synthesize_shard",
    params=SynthesizeShardParams,
    result=SynthesizeShardResult,
    queue="cpu",
    public=False,
    check=check_slice,
)
def synthesize_shard(ctx: JobContext, params: SynthesizeShardParams) -> SynthesizeShardResult:
    """Make one slice of a synthesize job's images."""
    from core.manifest import write_manifest

    campaign = Campaign(ctx, params)
    planned = campaign.plan(params.surveys)
    orders = planned[params.start : params.stop]
    if len(orders) != params.stop - params.start:
        raise invalid("/stop", f"The plan has {len(planned)} images")
    made = campaign.make(orders)
    path = ctx.scratch / "shard.parquet"
    write_manifest(made, path)
    ctx.artifact("shard.parquet", path, "application/vnd.apache.parquet")
    return SynthesizeShardResult(generated=len(made))
