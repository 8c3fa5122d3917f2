"""Finds what crashes left behind: expired leases, lost hints, dead staging, old uploads."""

from __future__ import annotations

import logging
import shutil

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, sessionmaker

from core.config import Settings
from core.db.models import Job, Upload
from core.db.repositories import jobs
from core.jobs.states import TERMINAL
from core.services.inputs import upload_path
from core.services.lifecycle import reap
from core.services.transaction import transaction, want_hint
from core.storage.blobs import BlobStore

log = logging.getLogger(__name__)

LOCK = "reaper"


def sweep(factory: sessionmaker[Session], settings: Settings) -> int:
    """Do one round unless another reaper is at it; returns how many leases were reaped."""
    with transaction(factory) as session:
        if not jobs.try_advisory_lock(session, LOCK):
            return 0
        lost = jobs.expired(session)
        for job_id, queue in jobs.unhinted(session, settings.hint_age_seconds):
            want_hint(session, job_id, queue)
    reaped = 0
    for job_id in lost:
        with transaction(factory) as session:
            reaped += reap(session, job_id)
    _remove_dead_staging(factory, BlobStore(settings.data_dir))
    _remove_expired_uploads(factory)
    if reaped:
        log.warning("%d expired leases were reaped", reaped)
    return reaped


def _remove_dead_staging(factory: sessionmaker[Session], store: BlobStore) -> None:
    """Remove the folders of claims that can no longer commit."""
    root = store.root / "staging"
    if not root.is_dir():
        return
    folders = {folder.name: folder for folder in root.iterdir() if folder.name.startswith("job_")}
    with factory() as session:
        rows = session.execute(
            select(Job.id, Job.status, Job.claims).where(Job.id.in_(folders))
        ).all()
    known = {row.id: row for row in rows}
    for job_id, folder in folders.items():
        row = known.get(job_id)
        if row is None or row.status in TERMINAL:
            shutil.rmtree(folder, ignore_errors=True)
            continue
        for claim in folder.iterdir():
            if claim.name.isdigit() and int(claim.name) < row.claims:
                shutil.rmtree(claim, ignore_errors=True)


def _remove_expired_uploads(factory: sessionmaker[Session]) -> None:
    with factory.begin() as session:
        expired = session.scalars(
            select(Upload.id)
            .where(Upload.expires_at < jobs.NOW)
            .limit(100)
            .with_for_update(skip_locked=True)
        ).all()
        in_use = {
            upload_id
            for inputs in session.scalars(select(Job.inputs).where(Job.status.not_in(TERMINAL)))
            for upload_id in inputs.get("uploads", {})
        }
        gone = [upload_id for upload_id in expired if upload_id not in in_use]
        session.execute(delete(Upload).where(Upload.id.in_(gone)))
    for upload_id in gone:
        upload_path(upload_id).unlink(missing_ok=True)
