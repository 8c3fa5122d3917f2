"""The real JobContext: stages files in a private folder and says everything else as messages.

Messages are JSON objects handed to ``emit``; in production that is a socket to the supervisor, in
tests a list. The last one, ``outcome``, lists what the attempt wants committed.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.assets import AssetKind
from core.errors import InvalidInput, JobCancelled
from core.ids import asset_group, new_id
from core.jobs.context import (
    Artifact,
    AssetDraft,
    Children,
    ChildResult,
    ExperimentDraft,
    Inputs,
    Limits,
    ModelDraft,
    VersionDraft,
)
from core.jobs.spec import Params, Result
from core.manifest import (
    ImageRecord,
    canonical_json,
    manifest_sha256,
    read_manifest,
    write_manifest,
)
from core.storage.blobs import BlobStore, stage
from core.storage.space import Reserve, require_space

if TYPE_CHECKING:
    import numpy as np

PROGRESS_SECONDS = 0.2
"""Progress is sent at most this often; the supervisor writes less often still."""


class JobTask(BaseModel):
    """Everything a job process is told: serialised by the supervisor, read by the child."""

    model_config = ConfigDict(extra="forbid")

    job_id: str
    kind: str
    attempt: int
    params: dict[str, Any]
    inputs: Inputs
    children: tuple[ChildResult, ...] = ()
    restored: dict[str, Any] | None = None
    data_dir: Path
    weights_dir: Path
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(1, ge=1)
    limits: Limits = Field(default_factory=Limits)
    reserve: Reserve = Field(default_factory=Reserve)
    """Free space that the job leaves on the volume."""


class Outcome(BaseModel):
    """What an attempt that ended well wants committed, all of it or nothing."""

    model_config = ConfigDict(extra="forbid")

    result: dict[str, Any] | None = None
    children: Children | None = None
    artifacts: tuple[Artifact, ...] = ()
    versions: tuple[VersionDraft, ...] = ()
    models: tuple[ModelDraft, ...] = ()
    assets: tuple[AssetDraft, ...] = ()
    experiments: tuple[ExperimentDraft, ...] = ()
    metrics: dict[str, float] = Field(default_factory=dict)
    blobs: tuple[str, ...] = ()


class JobRuntime:
    """A JobContext over a :class:`JobTask`."""

    def __init__(
        self,
        task: JobTask,
        emit: Callable[[dict[str, Any]], None],
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._task = task
        self._emit = emit
        self._is_cancelled = is_cancelled
        self._store = BlobStore(task.data_dir)
        require_space(task.data_dir, task.reserve)
        self.scratch = self._store.staging(task.job_id, task.attempt)
        self.scratch.mkdir(parents=True, exist_ok=True)
        self._staged = self.scratch / "blobs"
        self._blobs: dict[str, None] = {}
        self._published: set[str] = set()
        self._artifacts: dict[str, Artifact] = {}
        self._versions: list[VersionDraft] = []
        self._models: list[ModelDraft] = []
        self._assets: list[AssetDraft] = []
        self._experiments: list[ExperimentDraft] = []
        self._metrics: dict[str, float] = {}
        self._told_at = 0.0
        self._told_phase = ""
        self._device: str | None = None

    # What the job was given

    @property
    def job_id(self) -> str:
        return self._task.job_id

    @property
    def attempt(self) -> int:
        return self._task.attempt

    @property
    def inputs(self) -> Inputs:
        return self._task.inputs

    @property
    def children(self) -> tuple[ChildResult, ...]:
        return self._task.children

    @property
    def threads(self) -> int:
        return self._task.threads

    @property
    def data_dir(self) -> Path:
        return self._task.data_dir

    @property
    def weights_dir(self) -> Path:
        return self._task.weights_dir

    @property
    def limits(self) -> Limits:
        return self._task.limits

    @property
    def device(self) -> str:
        if self._device is None:
            from core.features.device import resolve_device

            self._device = resolve_device(self._task.device)
        return self._device

    def rng(self, *key: int | str) -> np.random.Generator:
        import numpy as np

        text = canonical_json([self._task.params.get("seed", 0), *key])
        digest = hashlib.sha256(text.encode()).digest()
        return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32).tolist())

    def manifest(self, version_id: str) -> list[ImageRecord]:
        return read_manifest(self.blob(self.inputs.versions[version_id].manifest_blob))

    def restored(self) -> dict[str, Any] | None:
        return self._task.restored

    # What the job says while it runs

    def progress(self, phase: str, current: float = 0, total: float = 1) -> None:
        self.check_cancelled()
        now = time.monotonic()
        due = now - self._told_at >= PROGRESS_SECONDS
        if due or phase != self._told_phase or current >= total:
            self._told_at, self._told_phase = now, phase
            require_space(self._task.data_dir, self._task.reserve)  # what grows in scratch
            self._emit({"type": "progress", "phase": phase, "current": current, "total": total})

    def log(self, message: str) -> None:
        self._emit({"type": "log", "message": message})

    def metric(self, name: str, value: float) -> None:
        """Record a number of this attempt (images per second, cache hits)."""
        self._metrics[name] = float(value)

    def check_cancelled(self) -> None:
        if self._is_cancelled():
            raise JobCancelled("The job was told to stop")

    def checkpoint(self, state: Mapping[str, Any]) -> None:
        # here and not by the supervisor: nobody may move a staged file while the job reads it
        new = [blob for blob in self._blobs if blob not in self._published]
        self._store.publish(self._staged, new)
        self._published.update(new)
        self._emit({"type": "checkpoint", "state": dict(state), "blobs": new})

    # What the job makes

    def blob(self, sha256: str) -> Path:
        staged = self._staged / sha256
        return staged if staged.exists() else self._store.find(sha256)

    def put(self, data: bytes | Path) -> str:
        size = 0 if isinstance(data, Path) else len(data)  # a file has its room already
        require_space(self._task.data_dir, self._task.reserve, size)
        sha256 = stage(data, self._staged)
        self._blobs[sha256] = None
        return sha256

    def artifact(self, name: str, data: bytes | Path, media_type: str) -> Artifact:
        if name in self._artifacts:
            raise InvalidInput(f"The job publishes {name!r} twice", code="duplicate_artifact")
        sha256 = self.put(data)
        size = self.blob(sha256).stat().st_size
        artifact = Artifact(
            id=new_id("art"), name=name, sha256=sha256, bytes=size, media_type=media_type
        )
        self._artifacts[name] = artifact
        return artifact

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
        from core.ingest.balance import summarise

        path = self.scratch / f"{new_id('req')}.parquet"
        write_manifest(records, path)
        draft = VersionDraft(
            id=new_id("dsv"),
            dataset_id=dataset_id or new_id("ds"),
            new_dataset=dataset_id is None,
            name=name,
            kind=kind,
            parents=tuple(parents),
            licence=licence,
            manifest_blob=self.put(path),
            manifest_sha256=manifest_sha256(records),
            image_count=len(records),
            classes=summarise(records),
            info=dict(info or {}),
        )
        self._versions.append(draft)
        return draft

    def publish_model(
        self, name: str, files: Mapping[str, Path | bytes], info: Mapping[str, Any]
    ) -> ModelDraft:
        draft = ModelDraft(
            id=new_id("mdl"),
            name=name,
            files={file: self.put(data) for file, data in files.items()},
            info=dict(info),
        )
        self._models.append(draft)
        return draft

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
        asset_id = new_id("ast")
        draft = AssetDraft(
            id=asset_id,
            kind=kind,
            name=name,
            licence=licence,
            group_ids=(group_id or asset_group(asset_id),),
            files=dict(files),
            info=dict(info),
        )
        self._assets.append(draft)
        return draft

    def publish_experiment(
        self, dataset_version_id: str, verdict: Mapping[str, Any], predictions: Artifact
    ) -> ExperimentDraft:
        draft = ExperimentDraft(
            id=new_id("exp"),
            dataset_version_id=dataset_version_id,
            verdict=dict(verdict),
            predictions_artifact_id=predictions.id,
        )
        self._experiments.append(draft)
        return draft

    def outcome(self, returned: Result | Children) -> Outcome:
        """Return everything to be committed, given what the job's function returned."""
        return Outcome(
            result=None if isinstance(returned, Children) else returned.model_dump(mode="json"),
            children=returned if isinstance(returned, Children) else None,
            artifacts=tuple(self._artifacts.values()),
            versions=tuple(self._versions),
            models=tuple(self._models),
            assets=tuple(self._assets),
            experiments=tuple(self._experiments),
            metrics=self._metrics,
            blobs=tuple(self._blobs),
        )


def run_kind(runtime: JobRuntime, task: JobTask) -> Outcome:
    """Run the function of the task's kind and return its outcome; errors pass."""
    from core.jobs.spec import JOB_KINDS

    kind = JOB_KINDS.get(task.kind)
    params: Params = kind.params.model_validate(task.params)
    return runtime.outcome(kind.run(runtime, params))
