"""What datasets, versions, uploads and images look like from outside."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.jobs.spec import UploadId, VersionId

Split = Literal["train", "val", "test"]
Source = Literal["real", "synthetic"]
ImageId = Annotated[str, Field(pattern="^img_[0-9a-z]{26}$")]
Label = Annotated[str, Field(min_length=1, max_length=200)]
MAX_CHANGES = 200_000


class NewUpload(BaseModel):
    """An upload to come."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"length": 1048576, "filename": "lesions.zip"}]},
    )

    length: int = Field(ge=1, lt=2**63, description="Bytes in all.")
    sha256: str | None = Field(
        None, pattern="^[0-9a-fA-F]{64}$", description="Checked once all bytes are there."
    )
    filename: str = Field("upload", min_length=1, max_length=255)


class Upload(BaseModel):
    """A resumable upload."""

    id: str
    length: int
    offset: int
    sha256: str | None
    filename: str
    created_at: datetime
    expires_at: datetime
    completed_at: datetime | None


class Dataset(BaseModel):
    """A name for a line of immutable versions."""

    id: str
    name: str
    kind: Source
    created_at: datetime
    versions: int
    newest_version_id: str | None
    image_count: int
    links: dict[str, str]


class DatasetPage(BaseModel):
    items: list[Dataset]
    next_cursor: str | None


class ClassCount(BaseModel):
    """One class; ``weak`` means below ``target``, the size of the largest class."""

    name: str
    count: int
    by_split: dict[str, int]
    weak: bool
    target: int
    groups: int


class Duplicates(BaseModel):
    exact: int
    near: int


class Version(BaseModel):
    """An immutable manifest of images."""

    id: str
    dataset_id: str
    number: int
    kind: Source
    parents: list[str]
    image_count: int
    classes: list[ClassCount]
    imbalance_ratio: float | None
    groups: int
    group_basis: str
    largest_group: Any
    duplicates: Duplicates
    rejected_count: int
    manifest_sha256: str
    licence: str
    generator: dict[str, Any] | None
    job_id: str | None
    created_by: str | None = Field(description="The key or session that asked for it.")
    created_at: datetime
    links: dict[str, str]


class VersionPage(BaseModel):
    items: list[Version]
    next_cursor: str | None


class NewVersion(BaseModel):
    """Changes of images, made at once; or ``upload_id`` of an archive to append, which is a job."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "base": "dsv_" + "0" * 26,
                    "relabel": {"img_" + "0" * 26: "melanoma"},
                    "quarantine": ["img_" + "1" * 26],
                }
            ]
        },
    )

    base: VersionId | None = Field(None, description="The version to start from; else the newest.")
    relabel: dict[ImageId, Label] = Field(
        default_factory=dict, max_length=MAX_CHANGES, description="New labels by image."
    )
    drop: list[ImageId] = Field(
        default_factory=list, max_length=MAX_CHANGES, description="Not in the new version at all."
    )
    quarantine: list[ImageId] = Field(
        default_factory=list, max_length=MAX_CHANGES, description="Kept, but used for nothing."
    )
    release: list[ImageId] = Field(
        default_factory=list, max_length=MAX_CHANGES, description="Out of quarantine."
    )
    upload_id: UploadId | None = Field(None, description="An archive whose images are appended.")
    layout: str = Field("auto", max_length=40, description="Layout of what is appended.")
    label_column: str | None = Field(None, max_length=200)
    group_column: str | None = Field(None, max_length=200)


class Image(BaseModel):
    """One image of a version."""

    id: str
    filename: str
    label: str
    split: Split
    group_ids: list[str]
    source: Source
    quarantined: bool
    width: int
    height: int
    media_type: str
    modality: str
    sha256: str
    parents: list[str]
    thumbnail_url: str
    content_url: str


class ImagePage(BaseModel):
    items: list[Image]
    next_cursor: str | None


class ImageDetail(Image):
    """An image with its metadata and how it came to be."""

    dataset_version_id: str
    metadata: dict[str, Any]
    provenance: dict[str, Any]
    annotations: dict[str, str] = Field(description="Address of each by name.")


class Annotation(BaseModel):
    """A file that tells what is where on an image."""

    name: str
    media_type: str
    bytes: int
    sha256: str
    links: dict[str, str]


class Annotations(BaseModel):
    """All of an image, in one page."""

    items: list[Annotation]
    next_cursor: None


class Reject(BaseModel):
    """A file that an import did not take."""

    name: str
    code: str
    detail: str


class RejectPage(BaseModel):
    items: list[Reject]
    next_cursor: str | None
