"""Runs job kinds in this process, children included, without database and broker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.ids import new_id
from core.ingest.balance import summarise
from core.jobs.context import (
    AssetDraft,
    AssetInput,
    ChildResult,
    ChildSpec,
    ExperimentDraft,
    Inputs,
    ModelDraft,
    ModelInput,
    UploadInput,
    VersionDraft,
    VersionInput,
)
from core.jobs.runtime import JobRuntime, JobTask, Outcome, run_kind
from core.jobs.spec import JOB_KINDS, references
from core.manifest import ImageRecord, manifest_sha256, write_manifest
from core.storage.blobs import BlobStore


@dataclass
class InlineOutcome:
    """What a job published; artifacts by name."""

    job_id: str
    result: dict[str, Any]
    artifacts: dict[str, Path]
    versions: list[VersionDraft]
    models: list[ModelDraft]
    assets: list[AssetDraft]
    experiments: list[ExperimentDraft]
    messages: list[dict[str, Any]] = field(default_factory=list)


class InlineRunner:
    """A volume in a folder, and what has been published on it."""

    def __init__(self, folder: Path, weights_dir: Path | None = None, threads: int = 1) -> None:
        self.store = BlobStore(folder)
        self.weights_dir = weights_dir or folder / "weights"
        self.threads = threads
        self.versions: dict[str, VersionInput] = {}
        self.models: dict[str, ModelInput] = {}
        self.uploads: dict[str, UploadInput] = {}
        self.assets: dict[str, AssetInput] = {}
        self.kinds_run: list[str] = []
        self.children: list[ChildSpec] = []
        self._artifacts: dict[str, dict[str, Any]] = {}

    def blob(self, data: bytes) -> str:
        return self.store.add(data)

    def upload(self, path: Path) -> str:
        upload_id = new_id("upl")
        self.uploads[upload_id] = UploadInput(
            id=upload_id, path=str(path), filename=path.name, length=path.stat().st_size
        )
        return upload_id

    def version(self, records: Sequence[ImageRecord], **changes: Any) -> str:
        """Register a version made by hand; its blobs must have been added."""
        path = self.store.root / f"{new_id('req')}.parquet"
        write_manifest(records, path)
        fields: dict[str, Any] = {
            "id": new_id("dsv"),
            "dataset_id": new_id("ds"),
            "dataset_name": "made by hand",
            "kind": "real",
            "manifest_sha256": manifest_sha256(records),
            "manifest_blob": self.blob(path.read_bytes()),
            "image_count": len(records),
            "classes": summarise(records),
            "licence": "CC0-1.0",
            "group_basis": "image",
        }
        version = VersionInput(**(fields | changes))
        self.versions[version.id] = version
        return version.id

    def run(self, kind: str, params: dict[str, Any], attempt: int = 1) -> InlineOutcome:
        """Run a job to its end; errors of the job pass."""
        job_id = new_id("job")
        spec = JOB_KINDS.get(kind)
        model = spec.params.model_validate(params)
        inputs = self._inputs(references(model))
        if spec.check:
            spec.check(model, inputs)
        self.kinds_run.append(kind)
        children: list[ChildResult] = []
        messages: list[dict[str, Any]] = []
        kept: list[Outcome] = []
        while True:
            task = JobTask(
                job_id=job_id,
                kind=kind,
                attempt=attempt,
                params=model.model_dump(mode="json"),
                inputs=inputs,
                children=tuple(children),
                data_dir=self.store.root,
                weights_dir=self.weights_dir,
                device="cpu",
                threads=self.threads,
            )
            runtime = JobRuntime(task, messages.append)
            outcome = run_kind(runtime, task)
            Outcome.model_validate_json(outcome.model_dump_json())
            self.store.publish(runtime.scratch / "blobs", outcome.blobs)
            self._publish(outcome)
            kept.append(outcome)
            if outcome.children is None:
                assert outcome.result is not None
                return self._collected(job_id, kept, outcome.result, messages)
            self.children.extend(outcome.children.children)
            for child in outcome.children.children:
                ended = self.run(child.kind, child.params)
                children.append(self._child(child.kind, child.role, child.params, ended))

    def _inputs(self, found: Iterable[Any]) -> Inputs:
        versions, models, uploads, assets = {}, {}, {}, {}
        for reference in found:
            match reference.kind:
                case "version":
                    versions[reference.id] = self.versions[reference.id]
                case "model":
                    models[reference.id] = self.models[reference.id]
                case "upload":
                    uploads[reference.id] = self.uploads[reference.id]
                case "asset":
                    assets[reference.id] = self.assets[reference.id]
        return Inputs(versions=versions, models=models, uploads=uploads, assets=assets)

    def _publish(self, outcome: Outcome) -> None:
        for draft in outcome.versions:
            self.versions[draft.id] = VersionInput(
                id=draft.id,
                dataset_id=draft.dataset_id,
                dataset_name=draft.name,
                kind=draft.kind,
                manifest_sha256=draft.manifest_sha256,
                manifest_blob=draft.manifest_blob,
                image_count=draft.image_count,
                classes=draft.classes,
                licence=draft.licence,
                group_basis=draft.info.get("group_basis", "image"),
                generator=draft.info.get("generator"),
                made_of=tuple(p for p in draft.parents if draft.kind == "synthetic"),
            )
        for asset in outcome.assets:
            self.assets[asset.id] = AssetInput.model_validate(asset.model_dump(exclude={"name"}))
        for model in outcome.models:
            self.models[model.id] = ModelInput(id=model.id, files=model.files, info=model.info)

    def _child(
        self, kind: str, role: str, params: dict[str, Any], ended: InlineOutcome
    ) -> ChildResult:
        return ChildResult(
            id=ended.job_id,
            kind=kind,
            role=role,
            params=params,
            result=ended.result,
            artifacts=self._artifacts[ended.job_id],
        )

    def _collected(
        self,
        job_id: str,
        outcomes: list[Outcome],
        result: dict[str, Any],
        messages: list[dict[str, Any]],
    ) -> InlineOutcome:
        artifacts = {a.name: a for o in outcomes for a in o.artifacts}
        self._artifacts[job_id] = artifacts
        return InlineOutcome(
            job_id=job_id,
            result=result,
            artifacts={name: self.store.find(a.sha256) for name, a in artifacts.items()},
            versions=[v for o in outcomes for v in o.versions],
            models=[m for o in outcomes for m in o.models],
            assets=[a for o in outcomes for a in o.assets],
            experiments=[e for o in outcomes for e in o.experiments],
            messages=messages,
        )
