"""Looks at one slice of the images that a synthesize job draws from."""

from __future__ import annotations

from pydantic import ConfigDict

from core.jobs.context import JobContext
from core.jobs.kinds.synthesize import Campaign, SynthesizeSlice, check_slice
from core.jobs.spec import Result, job_kind
from core.jobs.survey import NAME, as_json, survey


class SynthesizeSurveyParams(SynthesizeSlice):
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


class SynthesizeSurveyResult(Result):
    surveyed: int


@job_kind(
    "synthesize_survey",
    params=SynthesizeSurveyParams,
    result=SynthesizeSurveyResult,
    queue="cpu",
    public=False,
    check=check_slice,
)
def synthesize_survey(ctx: JobContext, params: SynthesizeSurveyParams) -> SynthesizeSurveyResult:
    """Look at one slice of a synthesize job's sources."""
    campaign = Campaign(ctx, params)
    chosen = campaign.surveyed[params.start : params.stop]
    facts = survey(ctx, campaign.spec, campaign.params, chosen)
    ctx.artifact(NAME, as_json(facts, chosen), "application/json")
    return SynthesizeSurveyResult(surveyed=len(facts))
