"""Fails in a chosen way, for testing the engine (only with DERMSYNTH_DIAGNOSTICS=1)."""

from __future__ import annotations

import os
import signal
from typing import Literal

from pydantic import ConfigDict, Field

from core.errors import InvalidInput, WeightsMissing
from core.jobs.context import JobContext
from core.jobs.spec import Params, Result, job_kind


class CrashParams(Params):
    model_config = ConfigDict(json_schema_extra={"examples": [{"how": "exception"}]})

    how: Literal["exit", "signal", "memory", "exception", "typed", "weights"] = "exception"
    until_claim: int = Field(1_000_000, ge=1, description="From this claim on, succeed.")


class CrashResult(Result):
    claim: int


@job_kind("crash", params=CrashParams, result=CrashResult, queue="cpu", timeout=60, diagnostic=True)
def crash(ctx: JobContext, params: CrashParams) -> CrashResult:
    """Fail as told, until a given claim."""
    if ctx.attempt >= params.until_claim:
        return CrashResult(claim=ctx.attempt)
    ctx.artifact("half.txt", b"never to be seen", "text/plain")
    match params.how:
        case "exit":
            os._exit(7)
        case "signal":
            os.kill(os.getpid(), signal.SIGKILL)
        case "memory":
            raise MemoryError
        case "typed":
            raise InvalidInput("This job was told to fail", code="told_to_fail")
        case "weights":
            raise WeightsMissing("There are no weights.", fix="touch weights")
        case "exception":
            raise RuntimeError("this job was told to fail")
    raise AssertionError("not reached")
