"""``Prefer: wait=N``: a job's answer held back until it ends, without thread or connection."""

from __future__ import annotations

import re
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.answers import answered, json_response
from api.job_links import linked
from core.db.session import reading
from core.jobs.states import TERMINAL
from core.services import job_view
from core.services.idempotency import Answer
from core.services.principal import Principal

MAX_WAIT_SECONDS = 60
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,6})\"?\s*(?=$|[,;])", re.IGNORECASE)


def preferred_wait(request: Request) -> int:
    """Return how many seconds the caller would wait, at most 60; 0 without the preference."""
    match = _WAIT.search(",".join(request.headers.getlist("prefer")))
    return min(MAX_WAIT_SECONDS, int(match[1])) if match else 0


def current(principal: Principal, job_id: str) -> dict[str, Any]:
    """Return a job as it is now."""
    with reading() as connection:
        return linked(job_view.current(connection, principal, job_id))


async def outcome(
    request: Request, principal: Principal, job_id: str, seconds: float
) -> dict[str, Any]:
    """Return a job once it has ended, or as it is after ``seconds``."""
    await request.app.state.events.ended(job_id, 0, seconds)
    return await run_in_threadpool(current, principal, job_id)


async def answer_job(request: Request, principal: Principal, answer: Answer) -> Response:
    """Answer 202 at once; with ``Prefer: wait`` 200 when the job has ended within the time."""
    seconds = preferred_wait(request)
    if not seconds:
        return answered(answer)
    job = await outcome(request, principal, str(answer.body["id"]), seconds)
    headers = {**answer.headers, "Preference-Applied": f"wait={seconds}"}
    if job["status"] not in TERMINAL:
        return json_response(job, 202, headers)
    del headers["Retry-After"]
    return json_response(job, 200, headers)
