"""The one task: a hint that a job may be due."""

from __future__ import annotations

from core.ids import is_id
from core.services.hints import TASK
from worker.app import app
from worker.slot import the_slot


@app.task(name=TASK, ignore_result=True)  # type: ignore[untyped-decorator]
def run_job(job_id: str) -> None:
    """Claim the job, if it can be claimed, and supervise it to its end."""
    if is_id(job_id, "job"):
        the_slot().run(job_id)
