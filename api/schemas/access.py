"""What sessions, the audit log and erasures look like from outside."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field


class BrowserSession(BaseModel):
    """A browser that is logged in, or (``logged_in`` false) a one-time link that waits."""

    id: str
    logged_in: bool
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class BrowserSessionPage(BaseModel):
    items: list[BrowserSession]
    next_cursor: str | None


class Actor(BaseModel):
    kind: Literal["key", "session", "system"]
    id: str


class Target(BaseModel):
    kind: str
    id: str


class AuditEntry(BaseModel):
    """One thing that was done."""

    id: str
    at: datetime
    actor: Actor
    action: str
    target: Target
    request_id: str = Field(description="`X-Request-ID` of the request; empty for the system.")
    details: dict[str, Any]


class AuditPage(BaseModel):
    items: list[AuditEntry]
    next_cursor: str | None


class GroupCounts(BaseModel):
    """How many of each kind, also of what the lists leave out."""

    images: int
    synthetic_images: int
    assets: int = Field(description="Bodies and backgrounds to render with.")
    dataset_versions: int
    jobs: int
    models: int
    experiments: int
    artifacts: int
    exports: int
    uploads: int


class GroupCountsNow(GroupCounts):
    feature_rows: int


class Group(BaseModel):
    """A person or lesion, and all derived from its images and assets: 1,000 ids of each at most."""

    id: str
    counts: GroupCountsNow
    group_ids: list[str] = Field(description="The group, and those that were merged with it.")
    images: list[str]
    synthetic_images: list[str] = Field(
        description="Made from them, or rendered with the assets, through any steps."
    )
    assets: list[str] = Field(description="Bodies and backgrounds that show the person.")
    datasets: list[str]
    dataset_versions: list[str]
    jobs: list[str] = Field(description="Jobs that were given any of it, and their children.")
    unfinished_jobs: list[str] = Field(description="An erasure waits for their end.")
    models: list[str]
    experiments: list[str]
    artifacts: list[str]
    exports: list[str] = Field(description="Those of the artifacts that are exports.")
    uploads: list[str] = Field(description="Archives that the images came in.")
    same_bytes_in_groups: list[str] = Field(
        description="Other groups that hold the same file; it stays until they are erased too."
    )


class Erasure(BaseModel):
    """What was erased; `removing_files`: the tables are clean and files follow."""

    id: str
    status: Literal["done", "removing_files"]
    counts: GroupCounts
    created_at: datetime
    completed_at: datetime | None
