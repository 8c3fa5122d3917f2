"""What the code of a job sees of the world: nothing but this.

A job reads blobs by hash, stages new ones in its private scratch folder and hands in drafts. Only
the supervisor writes the database, in one fenced transaction, after the job has ended well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from core.assets import AssetKind
from core.ingest.decoder import DecoderLimits
from core.manifest import ImageRecord

if TYPE_CHECKING:
    import numpy as np


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClassSummary(_Frozen):
    """One class of a version; ``target`` is the size of the largest class."""

    name: str
    count: int
    by_split: dict[str, int]
    weak: bool
    target: int
    groups: int


class VersionInput(_Frozen):
    """A dataset version as it was when the job was submitted."""

    id: str
    dataset_id: str
    dataset_name: str
    kind: Literal["real", "synthetic"]
    manifest_sha256: str
    manifest_blob: str
    image_count: int
    classes: tuple[ClassSummary, ...]
    licence: str
    group_basis: str
    generator: dict[str, Any] | None = None
    created_at: str = ""
    """ISO time at which it was published."""
    made_of: tuple[str, ...] = ()
    """Versions of real images that a synthetic one was made of, also before it was revised."""
    masks: int | None = None
    """Images that have a mask; None where the parameters did not ask for them."""
    bytes: int = 0
    """Of its images and annotations."""


class ModelInput(_Frozen):
    """A trained model: its files by name (``model.skops``, ``model.json``) as blob hashes."""

    id: str
    files: dict[str, str]
    info: dict[str, Any]


class UploadInput(_Frozen):
    """A finished upload."""

    id: str
    path: str
    filename: str
    length: int


class AssetInput(_Frozen):
    """What images are rendered with: its files by name as blob hashes.

    group_ids are the person's, and go to every image that is rendered with it.
    """

    id: str
    kind: AssetKind
    licence: str
    group_ids: tuple[str, ...]
    files: dict[str, str]
    info: dict[str, Any]


class Inputs(_Frozen):
    """Everything that the parameters of a job refer to, snapshot at submission."""

    versions: dict[str, VersionInput] = Field(default_factory=dict)
    models: dict[str, ModelInput] = Field(default_factory=dict)
    uploads: dict[str, UploadInput] = Field(default_factory=dict)
    assets: dict[str, AssetInput] = Field(default_factory=dict)
    groups: tuple[str, ...] = ()
    """Persons, by the id of one of their groups."""


class Limits(_Frozen):
    """What foreign files may cost: the settings ``max_archive_*``, ``max_image_pixels`` and
    ``max_decoder_*``."""

    archive_files: int = 200_000
    archive_bytes: int = 50 * 1024**3
    """Bytes of the unpacked archive."""
    archive_ratio: float = 100.0
    """Unpacked bytes for each packed one."""
    image_pixels: int = 100_000_000
    """Width times height of one image."""
    decoder: DecoderLimits = Field(default_factory=DecoderLimits)


class Artifact(_Frozen):
    """A file that the job publishes, staged as a blob."""

    id: str
    name: str
    sha256: str
    bytes: int
    media_type: str


class VersionDraft(_Frozen):
    """A dataset version to be created: into ``dataset_id``, or a new dataset called ``name``."""

    id: str
    dataset_id: str
    new_dataset: bool
    name: str
    kind: Literal["real", "synthetic"]
    parents: tuple[str, ...]
    licence: str
    manifest_blob: str
    manifest_sha256: str
    image_count: int
    classes: tuple[ClassSummary, ...]
    info: dict[str, Any]


class ModelDraft(_Frozen):
    id: str
    name: str
    files: dict[str, str]
    info: dict[str, Any]


class AssetDraft(_Frozen):
    """An asset to be created."""

    id: str
    kind: AssetKind
    name: str
    licence: str
    group_ids: tuple[str, ...]
    files: dict[str, str]
    info: dict[str, Any]


class ExperimentDraft(_Frozen):
    id: str
    dataset_version_id: str
    verdict: dict[str, Any]
    predictions_artifact_id: str


class ChildSpec(_Frozen):
    """A job that another job wants done; ``weight`` is its share of the parent's progress."""

    kind: str
    params: dict[str, Any]
    weight: float = 1.0
    role: str = ""


class Children(_Frozen):
    """Returned by a job instead of a result: run these, then call me again.

    The job is called once more when all of them have succeeded, with ``ctx.children`` holding every
    ended child of every round. ``span`` is the part of the parent's progress bar that they fill.
    """

    phase: str
    children: tuple[ChildSpec, ...] = Field(min_length=1)
    span: tuple[float, float] = (0.0, 1.0)


class ChildResult(_Frozen):
    """An ended child, in the order in which it was asked for."""

    id: str
    kind: str
    role: str
    params: dict[str, Any]
    result: dict[str, Any]
    artifacts: dict[str, Artifact]
    """By name."""


class JobContext(Protocol):
    """The only door between the code of a job and the rest."""

    @property
    def job_id(self) -> str: ...
    @property
    def attempt(self) -> int:
        """How often this job has been claimed, this time included."""

    @property
    def scratch(self) -> Path:
        """A private folder on the volume of the blobs; gone after the job."""

    @property
    def inputs(self) -> Inputs: ...
    @property
    def children(self) -> tuple[ChildResult, ...]: ...
    @property
    def threads(self) -> int:
        """Compute threads this job may use, >= 1."""

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``: the setting resolved on this machine (imports torch)."""

    @property
    def data_dir(self) -> Path:
        """Root of the shared volume, for caches (``features/``)."""

    @property
    def weights_dir(self) -> Path: ...
    @property
    def limits(self) -> Limits:
        """What the operator lets foreign files cost; for whoever reads them."""

    def progress(self, phase: str, current: float = 0, total: float = 1) -> None:
        """Report progress; cheap to call for every image. Raises like check_cancelled."""

    def log(self, message: str) -> None:
        """Append a line to the job's log."""

    def check_cancelled(self) -> None:
        """Raise JobCancelled when the job was told to stop."""

    def rng(self, *key: int | str) -> np.random.Generator:
        """Return the generator of this key: from the job's ``seed`` parameter and the key alone."""

    def blob(self, sha256: str) -> Path:
        """Return the path of a blob, staged ones included; NotFound when there is none."""

    def put(self, data: bytes | Path) -> str:
        """Stage bytes, or a file that is moved from scratch, as a blob; return its sha256."""

    def artifact(self, name: str, data: bytes | Path, media_type: str) -> Artifact:
        """Stage a file and publish it under a name that is unique within the job."""

    def checkpoint(self, state: Mapping[str, Any]) -> None:
        """Keep JSON state (and blobs staged so far) for the next attempt."""

    def restored(self) -> dict[str, Any] | None:
        """Return the last checkpoint of an earlier attempt."""

    def manifest(self, version_id: str) -> list[ImageRecord]:
        """Read the manifest of an input version."""

    def publish_version(
        self,
        records: Sequence[ImageRecord],
        *,
        kind: Literal["real", "synthetic"],
        name: str,
        dataset_id: str | None = None,
        parents: Sequence[str] = (),
        licence: str = "",
        info: Mapping[str, Any] | None = None,
    ) -> VersionDraft:
        """Hand in a version, into ``dataset_id`` or a new dataset; returns its future ids."""

    def publish_model(
        self, name: str, files: Mapping[str, Path | bytes], info: Mapping[str, Any]
    ) -> ModelDraft: ...

    def publish_asset(
        self,
        kind: AssetKind,
        name: str,
        files: Mapping[str, str],
        *,
        licence: str,
        info: Mapping[str, Any],
        group_id: str | None = None,
    ) -> AssetDraft:
        """Hand in an asset whose files have been staged, blobs by name.

        ``group_id`` is the person that it shows; None: one of whom nothing else is known.
        """

    def publish_experiment(
        self, dataset_version_id: str, verdict: Mapping[str, Any], predictions: Artifact
    ) -> ExperimentDraft: ...
