"""Does nothing; for measuring the engine (only with DERMSYNTH_DIAGNOSTICS=1)."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from core.jobs.context import Children, ChildSpec, JobContext
from core.jobs.spec import Params, Result, job_kind


class NoopParams(Params):
    model_config = ConfigDict(json_schema_extra={"examples": [{"children": 0}]})

    children: int = Field(0, ge=0, le=100, description="How many noop jobs to run as children.")


class NoopResult(Result):
    children: int


@job_kind("noop", params=NoopParams, result=NoopResult, queue="cpu", timeout=60, diagnostic=True)
def noop(ctx: JobContext, params: NoopParams) -> NoopResult | Children:
    """Do nothing, alone or with children."""
    if params.children and not ctx.children:
        child = ChildSpec(kind="noop", params={"children": 0})
        return Children(phase="children", children=(child,) * params.children)
    return NoopResult(children=len(ctx.children))
