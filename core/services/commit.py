"""The fenced commit: what an attempt made becomes visible in one transaction, or not at all."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.db.models import (
    Artifact,
    Dataset,
    DatasetVersion,
    Experiment,
    Job,
    TrainedModel,
)
from core.db.repositories import images, jobs
from core.db.repositories.jobs import Lease
from core.errors import InvalidInput
from core.jobs.context import VersionDraft
from core.jobs.runtime import Outcome
from core.jobs.states import JobStatus
from core.services.lifecycle import end, end_canceled
from core.services.submit import submit_children
from core.storage.blobs import BlobStore


def commit_outcome(session: Session, lease: Lease, outcome: Outcome, store: BlobStore) -> bool:
    """Write everything that an attempt made; False when the lease is lost: nothing is written.

    The blobs must have been published before.
    """
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
    for model in outcome.models:
        session.add(TrainedModel(tenant_id=job.tenant_id, job_id=job.id, **model.model_dump()))
    session.flush()
    for experiment in outcome.experiments:
        session.add(Experiment(tenant_id=job.tenant_id, job_id=job.id, **experiment.model_dump()))
    job.metrics = job.metrics | outcome.metrics
    session.flush()
    if outcome.children is not None:
        submit_children(session, job, outcome.children)
    else:
        end(session, job, JobStatus.SUCCEEDED, result=outcome.result)
    return True


def _add_version(session: Session, job: Job, draft: VersionDraft, store: BlobStore) -> None:
    add_version(session, job.tenant_id, draft, store, job_id=job.id)
    user: Job | None = job
    while user is not None:  # what waits for this job will go on with what it made
        if draft.dataset_id not in user.dataset_ids:
            user.dataset_ids = [*user.dataset_ids, draft.dataset_id]
        user = session.get(Job, user.parent_id) if user.parent_id else None


def add_version(
    session: Session, tenant_id: str, draft: VersionDraft, store: BlobStore, job_id: str | None
) -> DatasetVersion:
    """Write a version, its dataset when new, and the index of its images."""
    if draft.new_dataset:
        session.add(
            Dataset(id=draft.dataset_id, tenant_id=tenant_id, name=draft.name, kind=draft.kind)
        )
        session.flush()
    dataset = session.scalar(
        select(Dataset)
        .where(Dataset.id == draft.dataset_id, Dataset.tenant_id == tenant_id)
        .with_for_update()
    )
    if dataset is None:
        raise InvalidInput(
            f"Dataset {draft.dataset_id} has been deleted meanwhile", code="dataset_gone"
        )
    newest = session.scalar(
        select(func.max(DatasetVersion.number)).where(DatasetVersion.dataset_id == dataset.id)
    )
    version = DatasetVersion(
        id=draft.id,
        tenant_id=tenant_id,
        dataset_id=dataset.id,
        number=(newest or 0) + 1,
        kind=draft.kind,
        parents=list(draft.parents),
        licence=draft.licence,
        manifest_blob=draft.manifest_blob,
        manifest_sha256=draft.manifest_sha256,
        image_count=draft.image_count,
        classes=[summary.model_dump() for summary in draft.classes],
        info=draft.info,
        job_id=job_id,
    )
    session.add(version)
    session.flush()
    images.copy_manifest(session, version, store.find(draft.manifest_blob))
    return version
