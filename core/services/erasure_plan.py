"""What an erasure removes: the images of a patient or lesion, and everything derived from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from core.annotations import annotation_blobs
from core.db.models import Asset, DatasetVersion
from core.db.repositories import erasures
from core.db.repositories.erasures import Used
from core.errors import NotFound
from core.jobs.states import TERMINAL
from core.manifest import read_manifest
from core.services.principal import Principal
from core.storage.blobs import BlobStore

MAX_NAMED = 1000
"""Most ids of one kind that a plan names; its counts are of all."""
EXPORT = "export"


@dataclass(slots=True)
class ErasurePlan:
    """Everything by id; ``image_bytes`` and ``other_bytes`` are blobs by sha256."""

    groups: set[str]
    images: set[str]
    synthetic: set[str]
    versions: list[DatasetVersion]
    assets: list[Asset]
    jobs: set[str] = field(default_factory=set)
    unfinished: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    experiments: list[str] = field(default_factory=list)
    artifacts: list[str] = field(default_factory=list)
    exports: list[str] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)
    shared_with: list[str] = field(default_factory=list)
    image_bytes: set[str] = field(default_factory=set)
    other_bytes: set[str] = field(default_factory=set)

    @property
    def all_images(self) -> set[str]:
        return self.images | self.synthetic

    def counts(self) -> dict[str, int]:
        """Return how many of each kind there are; nothing in it points at a person."""
        return {
            "images": len(self.images),
            "synthetic_images": len(self.synthetic),
            "assets": len(self.assets),
            "dataset_versions": len(self.versions),
            "jobs": len(self.jobs),
            "models": len(self.models),
            "experiments": len(self.experiments),
            "artifacts": len(self.artifacts),
            "exports": len(self.exports),
            "uploads": len(self.uploads),
        }

    def named(self) -> dict[str, Any]:
        """Return the ids, at most MAX_NAMED of each kind."""
        lists = {
            "group_ids": self.groups,
            "images": self.images,
            "synthetic_images": self.synthetic,
            "assets": {asset.id for asset in self.assets},
            "datasets": {version.dataset_id for version in self.versions},
            "dataset_versions": [version.id for version in self.versions],
            "jobs": self.jobs,
            "unfinished_jobs": self.unfinished,
            "models": self.models,
            "experiments": self.experiments,
            "artifacts": self.artifacts,
            "exports": self.exports,
            "uploads": self.uploads,
            "same_bytes_in_groups": self.shared_with,
        }
        return {name: sorted(ids)[:MAX_NAMED] for name, ids in lists.items()}

    def holds(self) -> tuple[set[str], ...]:
        """Return the ids of what a job may add to while it is planned."""
        versions, assets = self.versions, self.assets
        return self.all_images, {row.id for row in versions}, {row.id for row in assets}


def make_plan(
    session: Session, principal: Principal, group_id: str, store: BlobStore, *, lock: bool = False
) -> ErasurePlan:
    """Return what is derived from a group of the principal's tenant; NotFound without anything.

    With ``lock`` all of it stays as it is until the transaction ends: no job can begin to use it.
    """
    while True:
        plan = _images(session, principal, group_id)
        if lock:
            _lock(session, principal, plan)
        _read_manifests(plan, store)
        _users(session, principal, plan, lock=lock)
        # a job that has ended since may have published more before it did
        if not lock or plan.holds() == _images(session, principal, group_id).holds():
            break
    shared = erasures.groups_sharing(session, principal, plan.images, plan.groups)
    shared += erasures.assets_sharing(session, principal, plan.assets, plan.groups)
    plan.shared_with = sorted(set(shared))
    return plan


def _lock(session: Session, principal: Principal, plan: ErasurePlan) -> None:
    ids = [version.id for version in plan.versions]
    plan.versions = erasures.lock_versions(session, principal, ids)
    ids = [asset.id for asset in plan.assets]
    plan.assets = erasures.assets(session, principal, ids, lock=True)


def _images(session: Session, principal: Principal, group_id: str) -> ErasurePlan:
    person = erasures.one_person(session, principal, group_id)
    groups, images = person.groups, person.images
    if not images and not person.assets:
        raise NotFound(f"There is no group {group_id}", code="group_not_found")
    synthetic = erasures.derived_images(session, principal, groups, images)
    ids = erasures.versions_with(session, principal, images | synthetic)
    versions = erasures.versions(session, principal, ids)
    assets = erasures.assets(session, principal, person.assets)
    return ErasurePlan(groups, images, synthetic, versions, assets)


def _read_manifests(plan: ErasurePlan, store: BlobStore) -> None:
    """Collect the bytes of the images, their masks, and the files that list them."""
    for version in plan.versions:
        for record in read_manifest(store.find(version.manifest_blob)):
            if record.image_id in plan.all_images:
                plan.image_bytes |= {record.sha256, record.source_sha256}
                plan.other_bytes |= set(annotation_blobs(record.provenance).values())
        plan.other_bytes |= {version.manifest_blob}
        if rejects := version.info.get("rejects_blob"):
            plan.other_bytes.add(rejects)


def _users(session: Session, principal: Principal, plan: ErasurePlan, *, lock: bool) -> None:
    """Find the jobs that were given any of it, and what those published."""
    makers = {version.job_id for version in plan.versions if version.job_id is not None}
    makers |= {asset.job_id for asset in plan.assets}
    assets = [asset.id for asset in plan.assets]
    uploads: set[str] = set()
    models: set[str] = set()
    while True:
        uploads |= erasures.uploads_of(session, makers)
        plan.uploads = erasures.living_uploads(session, principal, uploads, lock=lock)
        versions = [version.id for version in plan.versions]
        used = Used(versions, models, uploads, assets, plan.groups, makers, plan.image_bytes)
        found = erasures.jobs_with(session, principal, used)
        published = erasures.models_of(session, found, lock=lock)
        more = {model.id for model in published}
        if found == plan.jobs and more == models:
            break
        plan.jobs, models = found, more
    plan.models = sorted(models)
    plan.image_bytes |= erasures.blobs_of(session, plan.jobs)  # pictures of shards among them
    for files in [*(model.files for model in published), *(asset.files for asset in plan.assets)]:
        plan.other_bytes |= {str(sha256) for sha256 in files.values()}
    exporting = _read_jobs(session, plan)
    for artifact in erasures.artifacts_of(session, plan.jobs):
        plan.artifacts.append(artifact.id)
        plan.other_bytes.add(artifact.sha256)
        if artifact.job_id in exporting:
            plan.exports.append(artifact.id)
    plan.experiments = erasures.experiments_of(session, plan.jobs)


def _read_jobs(session: Session, plan: ErasurePlan) -> set[str]:
    """Note unfinished jobs and photographs that were sent for predictions; returns the exports."""
    rows = erasures.job_rows(session, plan.jobs)
    plan.unfinished = [row.id for row in rows if row.status not in TERMINAL]
    for row in rows:
        if row.kind == "predict":
            plan.image_bytes |= {image["sha256"] for image in row.params.get("images", ())}
    return {row.id for row in rows if row.kind == EXPORT}
