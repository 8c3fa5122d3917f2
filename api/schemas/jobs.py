"""What jobs look like from outside."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

Status = Literal["queued", "running", "succeeded", "failed", "canceled"]


class Progress(BaseModel):
    """How far a job is; ``fraction`` in [0, 1], ``current`` and ``total`` in units of the phase."""

    phase: str = Field(
        description="What it does now; `waiting_for_worker:<queue>` when nobody serves its queue."
    )
    current: float
    total: float
    fraction: float = Field(ge=0, le=1)
    eta_seconds: float | None


class Artifact(BaseModel):
    """A file that a job published."""

    id: str
    job_id: str
    name: str
    sha256: str
    bytes: int
    media_type: str
    created_at: datetime
    content_url: str


class Job(BaseModel):
    """One asynchronous unit of work."""

    id: str
    kind: str
    status: Status
    params: dict[str, Any]
    result: dict[str, Any] | None
    error: dict[str, Any] | None = Field(description="A problem with a stable `code`.")
    attempt: int
    max_attempts: int
    parent_id: str | None
    labels: list[str]
    progress: Progress
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    queue: str
    queue_position: int | None = Field(
        description="How many due jobs stand before it, counted up to 1,000."
    )
    artifacts: list[Artifact]
    links: dict[str, str | None]


class JobPage(BaseModel):
    items: list[Job]
    next_cursor: str | None


class Event(BaseModel):
    """Something that happened to a job; ``seq`` begins at 1 and has no gaps."""

    seq: int
    type: str
    data: dict[str, Any]
    at: datetime


class EventPage(BaseModel):
    """Events, oldest first."""

    items: list[Event]
    next_cursor: str | None


class Estimate(BaseModel):
    """What a job is expected to take on one slot of the smallest host."""

    seconds: float
    images: int
    children: int


class Validity(BaseModel):
    """The answer to ``validate_only``."""

    valid: Literal[True]
    queue: str
    estimate: Estimate | None
