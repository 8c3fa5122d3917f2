"""Where the things around a job are."""

from __future__ import annotations

from typing import Any

from core.services.idempotency import Answer

RETRY_SECONDS = 1
ACTIVE = ("queued", "running")


def linked(job: dict[str, Any]) -> dict[str, Any]:
    """Return the view of a job with its links; null for what cannot be done now."""
    here, parent = f"/v1/jobs/{job['id']}", job["parent_id"]
    active = job["status"] in ACTIVE
    again = job["status"] in ("failed", "canceled") and parent is None
    job["links"] = {
        "self": here,
        "events": f"{here}/events",
        "logs": f"{here}/logs",
        "cancel": f"{here}/cancel" if active else None,
        "retry": f"{here}/retry" if again else None,
        "parent": f"/v1/jobs/{parent}" if parent else None,
        "children": f"/v1/jobs?parent_id={job['id']}",
    }
    return job


def accepted(job: dict[str, Any]) -> Answer:
    """Return the 202 of a job that was just created."""
    headers = {"Location": f"/v1/jobs/{job['id']}", "Retry-After": str(RETRY_SECONDS)}
    return Answer(202, headers, linked(job))
