"""Predictions on images that come with the request: checked, charged, and gone if refused."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from core.db.repositories.new_jobs import Written
from core.jobs.spec import JOB_KINDS
from core.services import garbage
from core.services.commit import hold
from core.services.predictions import KIND
from core.services.principal import Principal
from core.services.quota import charge_job, check_quota, require_room
from core.services.submit import check, submit
from core.storage.blobs import BlobStore

log = logging.getLogger(__name__)


def check_sent(
    session: Session, principal: Principal, raw: dict[str, Any], sizes: Mapping[str, int]
) -> None:
    """Refuse what submitting would refuse, before anything is kept: StorageFull, QuotaExceeded."""
    check(session, principal.tenant_id, JOB_KINDS.get(KIND), raw)
    require_room(sum(sizes.values()))
    check_quota(session, principal.tenant_id, sum(sizes.values()))


def publish(store: BlobStore, folder: Path, sizes: Mapping[str, int]) -> list[str]:
    """Move staged images into the store; returns those that were not there before."""
    fresh = [sha256 for sha256 in sorted(sizes) if not store.path(sha256).is_file()]
    store.publish(folder, sorted(sizes))
    return fresh


def submit_sent(
    session: Session,
    principal: Principal,
    store: BlobStore,
    raw: dict[str, Any],
    sizes: Mapping[str, int],
) -> Written:
    """Submit a prediction on published images, whose bytes the tenant pays for."""
    hold(session, store, sorted(sizes))
    job = submit(session, principal, JOB_KINDS.get(KIND), raw)
    charge_job(session, principal.tenant_id, job.id, sum(sizes.values()))
    return job


def take_back(factory: sessionmaker[Session], store: BlobStore, blobs: list[str]) -> None:
    """Remove images that were published in vain, unless something refers to them after all.

    Whoever sends the same at this moment is told to do so again (BlobVanished).
    """
    try:
        garbage.remove(factory, store, blobs, garbage.AT_ONCE)
    except OperationalError as error:
        log.warning("%d images are left to garbage collection: %s", len(blobs), error.orig)
