"""Predictions on images that come with the request: checked, charged, and only then published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from core.db.repositories import blob_references
from core.db.repositories.new_jobs import Written
from core.jobs.spec import JOB_KINDS
from core.services.predictions import KIND
from core.services.principal import Principal
from core.services.quota import charge_job, check_quota, require_room
from core.services.submit import check, submit
from core.storage.blobs import BlobStore, disk_errors, flush


def check_sent(
    session: Session, principal: Principal, raw: dict[str, Any], sizes: Mapping[str, int]
) -> None:
    """Refuse what submitting would refuse, before anything is kept: StorageFull, QuotaExceeded."""
    check(session, principal.tenant_id, JOB_KINDS.get(KIND), raw)
    require_room(sum(sizes.values()))
    check_quota(session, principal.tenant_id, sum(sizes.values()))


def put_on_disk(folder: Path, sizes: Mapping[str, int]) -> None:
    """Have the bytes of staged images on the disk before anything is locked."""
    with disk_errors():
        for sha256 in sizes:
            flush(folder / sha256)


def submit_sent(
    session: Session,
    principal: Principal,
    store: BlobStore,
    folder: Path,
    raw: dict[str, Any],
    sizes: Mapping[str, int],
) -> Written:
    """Submit a prediction on images staged in ``folder``, and publish them: the tenant pays.

    What is refused has published nothing that somebody would have to take back, perhaps from under
    a job that relies on the same bytes.
    """
    # before the blobs are seen on the volume: nobody removes them until this is committed
    blob_references.share(session)
    job = submit(session, principal, JOB_KINDS.get(KIND), raw)
    charge_job(session, principal.tenant_id, job.id, sum(sizes.values()))
    store.publish(folder, sorted(sizes))
    return job
