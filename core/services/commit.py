"""The fenced commit: what an attempt made becomes visible in one transaction, or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy.orm import Session

from core.db.models import (
    Artifact,
    Asset,
    Dataset,
    DatasetVersion,
    Experiment,
    Job,
    TrainedModel,
)
from core.db.repositories import blob_references, datasets, images, jobs
from core.db.repositories.jobs import Lease
from core.errors import InvalidInput
from core.jobs.context import VersionDraft
from core.jobs.runtime import Outcome
from core.jobs.states import JobStatus
from core.manifest import manifest_blobs
from core.services.audit import Action, record
from core.services.lifecycle import end, end_canceled
from core.services.principal import Principal, system
from core.services.quota import charge
from core.services.submit import submit_children
from core.storage.blobs import BlobStore


def commit_outcome(session: Session, lease: Lease, outcome: Outcome, store: BlobStore) -> bool:
    """Write everything that an attempt made; False when the lease is lost: nothing is written.

    The blobs must have been published before; BlobVanished when one of them is gone again.
    QuotaExceeded when the tenant may not keep so much.
    """
    hold(session, store, outcome.blobs)
    job = jobs.lock_held(session, lease)
    if job is None:
        return False
    if outcome.children is not None and job.cancel_requested_at is not None:
        # the flag was set before there were children that it could have reached
        end_canceled(session, job)
        return True
    for artifact in outcome.artifacts:
        session.add(Artifact(tenant_id=job.tenant_id, job_id=job.id, **artifact.model_dump()))
    for version in outcome.versions:
        _add_version(session, job, version, store)
    made = {"tenant_id": job.tenant_id, "job_id": job.id, "created_by": asked_by(job)}
    for model in outcome.models:
        size = store.size(model.files.values())
        session.add(TrainedModel(bytes=size, **made, **model.model_dump()))
        charge(session, job.tenant_id, size)
    for asset in outcome.assets:
        size = store.size(asset.files.values())
        session.add(Asset(bytes=size, **made, **asset.model_dump(mode="json")))
        charge(session, job.tenant_id, size)
        details = {"job_id": job.id, "asked_by": asked_by(job), "kind": asset.kind, "bytes": size}
        record(session, system(job.tenant_id), "asset.create", "asset", asset.id, details)
    session.flush()
    for experiment in outcome.experiments:
        session.add(Experiment(**made, **experiment.model_dump()))
    job.metrics = job.metrics | outcome.metrics
    session.flush()
    if outcome.children is not None or job.parent_id is not None:
        blob_references.keep_for_job(session, job.id, outcome.blobs)
    charge(session, job.tenant_id, sum(artifact.bytes for artifact in outcome.artifacts))
    if outcome.children is not None:
        submit_children(session, job, outcome.children)
    else:
        end(session, job, JobStatus.SUCCEEDED, result=outcome.result)
    return True


def _add_version(session: Session, job: Job, draft: VersionDraft, store: BlobStore) -> None:
    asked = asked_by(job)
    add_version(session, job.tenant_id, draft, store, job_id=job.id, created_by=asked)
    user: Job | None = job
    while user is not None:  # what waits for this job will go on with what it made
        if draft.dataset_id not in user.dataset_ids:
            user.dataset_ids = [*user.dataset_ids, draft.dataset_id]
        user = session.get(Job, user.parent_id) if user.parent_id else None


def asked_by(job: Job) -> str | None:
    """Return the key or session that submitted a job, or its root; None for the service."""
    return (job.origin or {}).get("actor")


def add_version(
    session: Session,
    tenant_id: str,
    draft: VersionDraft,
    store: BlobStore,
    job_id: str | None,
    by: Principal | None = None,
    created_by: str | None = None,
) -> DatasetVersion:
    """Write a version, its dataset when new, and the index of its images.

    ``by``: who asks for it now; None is the service, on behalf of the job that ``created_by``
    submitted.
    """
    hold(session, store, [draft.manifest_blob])
    size = logical_bytes(store, draft.manifest_blob, draft.info)
    if draft.new_dataset:
        session.add(
            Dataset(id=draft.dataset_id, tenant_id=tenant_id, name=draft.name, kind=draft.kind)
        )
        session.flush()
    dataset = datasets.lock_for_version(session, tenant_id, draft.dataset_id)
    if dataset is None:
        raise InvalidInput(
            f"Dataset {draft.dataset_id} has been deleted meanwhile", code="dataset_gone"
        )
    version = DatasetVersion(
        id=draft.id,
        tenant_id=tenant_id,
        dataset_id=dataset.id,
        number=datasets.next_number(session, dataset.id),
        kind=draft.kind,
        parents=list(draft.parents),
        licence=draft.licence,
        manifest_blob=draft.manifest_blob,
        manifest_sha256=draft.manifest_sha256,
        image_count=draft.image_count,
        bytes=size,
        classes=[summary.model_dump() for summary in draft.classes],
        info=draft.info,
        job_id=job_id,
        created_by=by.key_id if by else created_by,
    )
    session.add(version)
    session.flush()
    images.copy_manifest(session, version, store.find(draft.manifest_blob))
    _tell(session, by or system(tenant_id), version, draft.new_dataset)
    charge(session, tenant_id, size)
    return version


def _tell(session: Session, by: Principal, version: DatasetVersion, new_dataset: bool) -> None:
    details = {
        "version_id": version.id,
        "job_id": version.job_id,
        "asked_by": version.created_by,
        "image_count": version.image_count,
        "manifest_sha256": version.manifest_sha256,
    }
    action: Action = "dataset.create" if new_dataset else "dataset.revise"
    record(session, by, action, "dataset", version.dataset_id, details)


def logical_bytes(store: BlobStore, manifest_blob: str, info: Mapping[str, Any]) -> int:
    """Return the bytes of everything that a version refers to, also what others refer to."""
    blobs = manifest_blobs(store.find(manifest_blob)) | {manifest_blob}
    rejects = info.get("rejects_blob")
    return store.size(blobs | ({rejects} if rejects else set()))


def hold(session: Session, store: BlobStore, blobs: Iterable[str]) -> None:
    """Make sure that blobs are there, and stay until the transaction that refers to them ends.

    Comes before the references are written and before rows are locked. BlobVanished: publish again.
    """
    blob_references.share(session)
    store.hold(blobs)
