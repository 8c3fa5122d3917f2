"""What the server answers, typed; fields that a newer server adds are kept, not refused."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.client.failures import UnexpectedAnswer

ENDED = frozenset({"succeeded", "failed", "canceled"})


class Record(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())


R = TypeVar("R", bound=Record)


def parse(kind: type[R], value: Any) -> R:
    """Return ``value`` as a record; UnexpectedAnswer names the first field that does not fit."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = "/".join(str(part) for part in first["loc"]) or "the whole answer"
        raise UnexpectedAnswer(
            f"The server's {kind.__name__.lower()} does not fit at {where}: {first['msg']}"
        ) from error


class Artifact(Record):
    """A file that a job published; ``name`` is what the server says and is not to be trusted."""

    id: str
    name: str
    sha256: str | None = None
    bytes: int | None = None
    media_type: str | None = None


class Progress(Record):
    """How far a job is; ``fraction`` in [0, 1]."""

    phase: str | None = None
    current: float = 0.0
    total: float = 1.0
    fraction: float | None = None
    eta_seconds: float | None = None


class Job(Record):
    """One asynchronous unit of work."""

    id: str
    kind: str
    status: str
    params: dict[str, Any] = Field(default_factory=dict)
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    attempt: int = 0
    max_attempts: int = 1
    parent_id: str | None = None
    labels: list[str] = Field(default_factory=list)
    progress: Progress = Field(default_factory=Progress)
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    queue: str | None = None
    queue_position: int | None = None
    artifacts: list[Artifact] = Field(default_factory=list)

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def succeeded(self) -> bool:
        return self.status == "succeeded"

    def artifact(self, name: str) -> Artifact | None:
        """Return the artifact called ``name``."""
        return next((item for item in self.artifacts if item.name == name), None)


class Event(Record):
    """Something that happened to a job; ``seq`` has no gaps."""

    seq: int
    type: str = "message"
    at: datetime | None = None
    data: Any = None


class Upload(Record):
    id: str
    length: int | None = None


class Dataset(Record):
    id: str
    name: str
    kind: str | None = None
    created_at: datetime | None = None


class ClassCount(Record):
    """One class of a version; ``target`` is the count that balancing aims at."""

    name: str
    count: int
    by_split: dict[str, int] = Field(default_factory=dict)
    weak: bool = False
    target: int | None = None
    groups: int | None = None


class Version(Record):
    """An immutable manifest of images."""

    id: str
    dataset_id: str
    kind: str
    image_count: int
    classes: list[ClassCount] = Field(default_factory=list)
    parents: list[str] = Field(default_factory=list)
    imbalance_ratio: float | None = None
    group_basis: str | None = None
    rejected_count: int | None = None
    manifest_sha256: str | None = None
    licence: Any = None


class Image(Record):
    id: str
    label: str
    split: str | None = None
    source: str | None = None
    width: int | None = None
    height: int | None = None
    sha256: str | None = None
    group_ids: list[str] = Field(default_factory=list)
    parents: list[str] = Field(default_factory=list)


class Asset(Record):
    """A body or a background to render with."""

    id: str
    kind: str
    name: str
    licence: str | None = None
    group_ids: list[str] = Field(default_factory=list)
    created_at: datetime | None = None
    info: dict[str, Any] = Field(default_factory=dict)


class Model(Record):
    id: str
    name: str | None = None
    created_at: datetime | None = None


class Experiment(Record):
    """verdict.json of an experiment."""

    design: Any = None
    primary: dict[str, Any] | None = None
    per_class: list[dict[str, Any]] = Field(default_factory=list)
    arms: list[dict[str, Any]] = Field(default_factory=list)
    legacy_protocol: dict[str, Any] | None = None


class Key(Record):
    """An API key without its secret."""

    id: str
    name: str | None = None
    scopes: list[str] = Field(default_factory=list)
    created_at: datetime | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


class NewKey(Key):
    """A key just made; ``key`` is the secret and is shown this once."""

    key: str


class Webhook(Record):
    """An address that is told when jobs end."""

    id: str
    url: str
    name: str = ""
    events: list[str] = Field(default_factory=list)
    kinds: list[str] = Field(default_factory=list)
    enabled: bool = True
    disabled_reason: str | None = None
    failing_since: datetime | None = None
    pending: int = 0
    created_at: datetime | None = None


class NewWebhook(Webhook):
    """A web hook whose secret is new; ``secret`` is shown this once."""

    secret: str


class Delivery(Record):
    """One message to a web hook; ``tries`` are its last attempts, oldest first."""

    id: str
    webhook_id: str
    event: str
    status: str
    job_id: str | None = None
    attempts: int = 0
    tries: list[dict[str, Any]] = Field(default_factory=list)
    created_at: datetime | None = None
    next_attempt_at: datetime | None = None
    finished_at: datetime | None = None


class Party(Record):
    """Who did something, or what it was done to."""

    kind: str
    id: str


class AuditEntry(Record):
    """One thing that was done."""

    id: str
    at: datetime
    actor: Party
    action: str
    target: Party
    request_id: str = ""
    details: dict[str, Any] = Field(default_factory=dict)


class Group(Record):
    """A patient or lesion; the lists name 1,000 of each kind at most, ``counts`` counts all."""

    id: str
    counts: dict[str, int]
    images: list[str]
    synthetic_images: list[str]
    unfinished_jobs: list[str]


class Erasure(Record):
    """What was erased; ``removing_files``: the database is clean and files follow."""

    id: str
    status: str
    counts: dict[str, int]
    completed_at: datetime | None = None


class Reject(Record):
    """A file that an import did not take."""

    name: str
    code: str
    detail: str = ""


class Prediction(Record):
    filename: str
    label: str | None = None
    probabilities: dict[str, float] | None = None
    error: Any = None


class Predictions(Record):
    model_id: str
    classes: list[str]
    predictions: list[Prediction]
    intended_use: str
