"""Sleeps, with progress and checkpoints (only with DERMSYNTH_DIAGNOSTICS=1)."""

from __future__ import annotations

import time

from pydantic import ConfigDict, Field

from core.jobs.context import JobContext
from core.jobs.spec import Params, Result, job_kind

STEP_SECONDS = 0.05


class SleepParams(Params):
    model_config = ConfigDict(json_schema_extra={"examples": [{"seconds": 1.5}]})

    seconds: float = Field(1.0, ge=0, le=86_400)
    ignore_stop: bool = Field(False, description="Do not react to being told to stop.")


class SleepResult(Result):
    slept: float
    resumed_at: float
    claim: int


@job_kind(
    "sleep", params=SleepParams, result=SleepResult, queue="cpu", timeout=90_000, diagnostic=True
)
def sleep(ctx: JobContext, params: SleepParams) -> SleepResult:
    """Sleep for some seconds; a later attempt goes on where the last checkpoint was."""
    resumed_at = float((ctx.restored() or {}).get("slept", 0.0))
    slept = resumed_at
    while slept < params.seconds:
        time.sleep(min(STEP_SECONDS, params.seconds - slept))
        slept = min(params.seconds, slept + STEP_SECONDS)
        if not params.ignore_stop:
            ctx.progress("sleeping", slept, params.seconds)
        if round(slept / STEP_SECONDS) % 10 == 0:
            ctx.checkpoint({"slept": slept})
    ctx.artifact("slept.txt", f"{slept:.2f}\n".encode(), "text/plain")
    return SleepResult(slept=slept, resumed_at=resumed_at, claim=ctx.attempt)
