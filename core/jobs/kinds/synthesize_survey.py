"""Looks at one slice of the images that a synthesize job draws from."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from core.jobs.context import Inputs, JobContext
from core.jobs.kinds.synthesize import Campaign, SynthesizeParams
from core.jobs.spec import Result, job_kind
from core.jobs.survey import NAME, as_json, survey
from core.pointers import invalid


class SynthesizeSurveyParams(SynthesizeParams):
    """The parameters of the parent, and the slice of its sources."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "dataset_version_id": "dsv_" + "0" * 26,
                    "generator": "transplant",
                    "counts": {"mel": 256},
                    "start": 0,
                    "stop": 128,
                }
            ]
        }
    )

    start: int = Field(ge=0, description="First image of the slice.")
    stop: int = Field(ge=1, description="First image after the slice.")


class SynthesizeSurveyResult(Result):
    surveyed: int


def check(params: SynthesizeSurveyParams, _: Inputs) -> None:
    if params.start >= params.stop:
        raise invalid("/stop", "The slice is empty")


@job_kind(
    "synthesize_survey",
    params=SynthesizeSurveyParams,
    result=SynthesizeSurveyResult,
    queue="cpu",
    public=False,
    check=check,
)
def synthesize_survey(ctx: JobContext, params: SynthesizeSurveyParams) -> SynthesizeSurveyResult:
    """Look at one slice of a synthesize job's sources."""
    campaign = Campaign(ctx, params)
    chosen = campaign.surveyed[params.start : params.stop]
    facts = survey(ctx, campaign.spec, campaign.params, chosen)
    ctx.artifact(NAME, as_json(facts, chosen), "application/json")
    return SynthesizeSurveyResult(surveyed=len(facts))
