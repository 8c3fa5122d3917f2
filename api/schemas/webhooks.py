"""What web hooks and their deliveries look like from outside."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Event = Literal["job.succeeded", "job.failed", "job.canceled"]
DeliveryStatus = Literal["pending", "delivered", "failed"]
Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2000,
        description="https, to a public address; the service's settings can allow more.",
    ),
]
Name = Annotated[str, Field(max_length=200)]
Events = Annotated[list[Event], Field(min_length=1, max_length=3)]
Kinds = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=80)]],
    Field(max_length=50, description="Job kinds; empty: all."),
]


def _all_events() -> list[Event]:
    return ["job.succeeded", "job.failed", "job.canceled"]


class NewWebhook(BaseModel):
    """An address that shall be told when jobs end."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "url": "https://receiver.clinic.example/dermsynth",
                    "name": "ward 3",
                    "events": ["job.succeeded", "job.failed"],
                    "kinds": ["pipeline"],
                }
            ]
        },
    )

    url: Url
    name: Name = ""
    events: Events = Field(default_factory=_all_events)
    kinds: Kinds = []


class WebhookChange(BaseModel):
    """What shall be different; what is left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"enabled": True}]})

    url: Url | None = None
    name: Name | None = None
    events: Events | None = None
    kinds: Kinds | None = None
    enabled: bool | None = None


class Webhook(BaseModel):
    """An address that is told; ``disabled_reason`` says why it is no longer."""

    id: str
    name: str
    url: str
    events: list[str]
    kinds: list[str]
    enabled: bool
    disabled_at: datetime | None
    disabled_reason: str | None
    failing_since: datetime | None = Field(description="First failure after the last success.")
    succeeded_at: datetime | None
    pending: int = Field(description="Deliveries that are still to be made.")
    previous_secret_until: datetime | None = Field(
        description="Until then messages carry a second signature, with the replaced secret."
    )
    created_at: datetime


class WebhookSecret(Webhook):
    """A web hook with its new secret (`whsec_…`), shown this once."""

    secret: str


class WebhookPage(BaseModel):
    items: list[Webhook]
    next_cursor: str | None


class Try(BaseModel):
    """One attempt; nothing of the answer is kept but its status."""

    at: datetime
    seconds: float
    status_code: int | None
    error: str | None
    detail: str | None


class Delivery(BaseModel):
    """One message; its id is the `webhook-id` that the receiver sees, the same at every attempt."""

    id: str
    webhook_id: str
    event: str
    job_id: str | None
    status: DeliveryStatus
    attempts: int
    next_attempt_at: datetime | None
    created_at: datetime
    finished_at: datetime | None
    tries: list[Try] = Field(description="The last 20 attempts, oldest first.")
    payload: dict[str, Any]


class DeliveryPage(BaseModel):
    items: list[Delivery]
    next_cursor: str | None
