"""The slow round of a worker: retention, garbage, caches; one at a time on a volume."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy.orm import Session, sessionmaker

from core.config import Settings
from core.db.repositories import blob_references, idempotency, retention, usage
from core.services.garbage import Collected, collect
from core.services.retention import (
    DAY,
    delete_old_jobs,
    forget_old_events,
    remove_orphan_logs,
)
from core.storage.blobs import BlobStore
from core.storage.caches import Pruned, prune

log = logging.getLogger(__name__)

STAMP = "housekeeping"
"""A file of the volume: locked during a round, and as old as the last one."""


@dataclass(slots=True)
class Round:
    """What one round removed."""

    jobs: int = 0
    event_lists: int = 0
    logs: int = 0
    garbage: Collected = field(default_factory=Collected)
    features: Pruned | None = None
    thumbnails: Pruned | None = None


def keep_house(
    factory: sessionmaker[Session], settings: Settings, *, due_only: bool = False
) -> Round | None:
    """Do one round; None while another is at it, or with ``due_only`` when the last was lately."""
    store = BlobStore(settings.data_dir)
    with _alone(store) as stamp:
        if stamp is None or (due_only and not _is_due(stamp, store, settings)):
            return None
        done = _round(factory, settings, store)
        os.ftruncate(stamp, 0)
        os.write(stamp, b"The last round ended when this file was written.\n")
    log.info("housekeeping: %s", done)
    return done


def _round(factory: sessionmaker[Session], settings: Settings, store: BlobStore) -> Round:
    done = Round()
    with factory.begin() as session:
        idempotency.forget_older(session, settings.keep_answers_days * DAY)
        retention.forget_sessions(session, DAY)
    if settings.keep_jobs_days:
        done.jobs = delete_old_jobs(factory, store, settings.keep_jobs_days)
    if settings.keep_events_days:
        done.event_lists = forget_old_events(factory, store, settings.keep_events_days)
    done.logs = remove_orphan_logs(factory, store)
    with factory.begin() as session:
        blob_references.forget_ended(session)
        usage.release_ended(session, settings.garbage_hours * 3600)
    done.garbage = collect(factory, store, settings.garbage_hours * 3600)
    _prune_caches(done, settings, store)
    return done


def _prune_caches(done: Round, settings: Settings, store: BlobStore) -> None:
    now, seconds = store.now(), settings.cache_days * DAY
    done.features = prune(
        store.root / "features", now, seconds=seconds, size=settings.feature_cache_bytes
    )
    done.thumbnails = prune(
        store.root / "thumbnails", now, seconds=seconds, size=settings.thumbnail_cache_bytes
    )


@contextmanager
def _alone(store: BlobStore) -> Iterator[int | None]:
    """Yield the locked stamp; None when another process of any host has it."""
    store.root.mkdir(parents=True, exist_ok=True)
    stamp = os.open(store.root / STAMP, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(stamp, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield None
    else:
        yield stamp
    finally:
        os.close(stamp)


def _is_due(stamp: int, store: BlobStore, settings: Settings) -> bool:
    """Tell whether the last round is long ago; an empty stamp was never written."""
    status = os.fstat(stamp)
    return not status.st_size or store.now() - status.st_mtime > settings.housekeeping_hours * 3600
