"""What assets look like from outside."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from core.assets import AssetKind


class Asset(BaseModel):
    """A body or a background to render with."""

    id: str
    kind: AssetKind
    name: str
    licence: str
    group_ids: list[str] = Field(
        description="The person, as `/v1/groups/{id}` takes it; every image rendered with the "
        "asset has these groups."
    )
    job_id: str
    created_by: str | None = Field(description="The key or session that asked for it.")
    created_at: datetime
    bytes: int
    info: dict[str, Any] = Field(description="Size, parts, units, warnings: what was seen of it.")
    files: dict[str, str] = Field(description="sha256 by file name.")
    links: dict[str, str]


class AssetPage(BaseModel):
    items: list[Asset]
    next_cursor: str | None
