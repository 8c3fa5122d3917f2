"""What models, experiments, keys, the catalog and the system look like from outside."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from api.instants import Instant

Scope = Literal[
    "datasets:read",
    "datasets:write",
    "jobs:read",
    "jobs:write",
    "models:read",
    "models:write",
    "keys:admin",
    "metrics:read",
]


def _all_scopes() -> list[Scope]:
    """Return what a key may do unless it says so: everything on its tenant's own things."""
    return [scope for scope in get_args(Scope) if scope != "metrics:read"]


class Model(BaseModel):
    """A trained classifier, or a network that outlines lesions (``info.task`` segmentation)."""

    id: str
    name: str
    job_id: str
    created_by: str | None = Field(description="The key or session that asked for it.")
    created_at: datetime
    info: dict[str, Any] = Field(description="Classes, backbone, versions, scores.")
    files: dict[str, str] = Field(description="sha256 by file name.")
    intended_use: str
    links: dict[str, str]


class ModelPage(BaseModel):
    items: list[Model]
    next_cursor: str | None


class Prediction(BaseModel):
    filename: str
    label: str | None
    probabilities: dict[str, float] | None
    error: Any


class Predictions(BaseModel):
    """Research only, not for diagnosis."""

    model_id: str
    classes: list[str]
    predictions: list[Prediction]
    intended_use: str


class Experiment(BaseModel):
    """verdict.json, with where it comes from."""

    model_config = ConfigDict(extra="allow")

    id: str
    job_id: str
    created_by: str | None = Field(description="The key or session that asked for it.")
    dataset_version_id: str
    created_at: datetime
    links: dict[str, str]


class ExperimentPage(BaseModel):
    items: list[Experiment]
    next_cursor: str | None


class PredictionRow(BaseModel):
    """One prediction of one arm on one held-out image."""

    model_config = ConfigDict(extra="allow")

    image_id: str
    arm: str


class PredictionRowPage(BaseModel):
    items: list[PredictionRow]
    next_cursor: str | None


class NewKey(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "ward 3", "scopes": ["datasets:read", "jobs:read"]}]
        },
    )

    name: str = Field(min_length=1, max_length=200)
    scopes: list[Scope] = Field(default_factory=_all_scopes, min_length=1, max_length=20)
    expires_at: Instant | None = None


class RotatedKey(BaseModel):
    """How a key hands over to its successor."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"overlap_seconds": 3600}]}
    )

    overlap_seconds: int = Field(
        24 * 3600, ge=0, le=30 * 24 * 3600, description="So long the old key works beside the new."
    )
    expires_at: Instant | None = Field(
        None, description="Of the new key; null: it lives as long as the old one was made to."
    )


class Key(BaseModel):
    """An API key without its secret."""

    id: str
    name: str
    hint: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    replaced_by: str | None = Field(description="The key that a rotation made.")


class CreatedKey(Key):
    """A key just made; ``key`` is the secret, shown this once."""

    key: str


class KeyPage(BaseModel):
    items: list[Key]
    next_cursor: str | None


class Availability(BaseModel):
    """Whether one live worker can do it, and what mends it when not."""

    worker: str
    ok: bool
    reason: str | None
    fix: str | None


class CatalogKind(BaseModel):
    name: str
    summary: str
    queue: str
    params: dict[str, Any]
    result: dict[str, Any]
    example: Any
    available: list[Availability]


class CatalogEntry(BaseModel):
    name: str
    summary: str
    params: dict[str, Any]
    facts: dict[str, Any]
    available: list[Availability]


class Catalog(BaseModel):
    """Everything that can be asked for, with the JSON Schema of its parameters."""

    job_kinds: list[CatalogKind]
    generators: list[CatalogEntry]
    backbones: list[CatalogEntry]
    classifiers: list[CatalogEntry]
    architectures: list[CatalogEntry] = Field(description="Networks that outline lesions.")


class Check(BaseModel):
    name: str
    ok: bool
    required: bool
    detail: str


class Readiness(BaseModel):
    status: Literal["ready", "degraded", "not_ready"]
    checks: list[Check]


class Health(BaseModel):
    status: Literal["ok"]


class Version(BaseModel):
    name: str
    version: str
    api: str
    intended_use: str
