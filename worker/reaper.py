"""Finds what crashes left behind: expired leases, lost hints, dead staging, old uploads."""

from __future__ import annotations

import logging
import shutil
import time
from contextlib import suppress
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from core.config import Settings
from core.db.models import Job
from core.db.repositories import idempotency, jobs
from core.jobs.spec import QUEUES
from core.jobs.states import TERMINAL
from core.services.hints import hints_held
from core.services.lifecycle import reap
from core.services.transaction import transaction, want_hint
from core.services.uploads import remove_expired, remove_orphans
from core.storage.blobs import BlobStore

log = logging.getLogger(__name__)

LOCK = "reaper"
KEPT_ANSWER_SECONDS = 7 * 24 * 3600.0
"""A request with an Idempotency-Key may be repeated for so long."""
DIRECT_SECONDS = 24 * 3600.0
"""Nothing that the API stores directly takes longer; compared with the times of files."""


def sweep(factory: sessionmaker[Session], settings: Settings) -> int:
    """Do one round unless another reaper is at it; returns how many leases were reaped."""
    with transaction(factory) as session:
        if not jobs.try_advisory_lock(session, LOCK):
            return 0
        lost = jobs.expired(session)
        # a queue with a hint for each due job needs no more: they would pile up in the broker
        held = hints_held(QUEUES)
        lacking = [q for q, due in jobs.due_by_queue(session).items() if held.get(q, 0) < due]
        for job_id, queue in jobs.unhinted(session, settings.hint_age_seconds, lacking):
            want_hint(session, job_id, queue)
    reaped = 0
    for job_id in lost:
        try:
            with transaction(factory) as session:
                reaped += reap(session, job_id)
        except OperationalError as error:
            # its row is locked (a long commit): it must not keep the others from being found
            log.warning("%s could not be looked at: %s", job_id, error)
    _remove_dead_staging(factory, BlobStore(settings.data_dir))
    remove_expired(factory)
    remove_orphans(factory)
    with factory.begin() as session:
        idempotency.forget_older(session, KEPT_ANSWER_SECONDS)
    if reaped:
        log.warning("%d expired leases were reaped", reaped)
    return reaped


def _remove_dead_staging(factory: sessionmaker[Session], store: BlobStore) -> None:
    """Remove the folders of claims that can no longer commit."""
    root = store.root / "staging"
    if not root.is_dir():
        return
    _remove_old(root / "direct")
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
        for claim in _entries(folder):
            if claim.name.isdigit() and int(claim.name) < row.claims:
                shutil.rmtree(claim, ignore_errors=True)


def _remove_old(folder: Path) -> None:
    """Remove what API processes left when they were killed while storing something."""
    limit = time.time() - DIRECT_SECONDS
    for left in _entries(folder):
        with suppress(FileNotFoundError):
            if left.stat().st_mtime < limit:
                shutil.rmtree(left, ignore_errors=True)


def _entries(folder: Path) -> list[Path]:
    """List a folder that its owner may remove at any moment."""
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
