"""Finds what crashes left behind: expired leases, lost hints, dead staging, old uploads."""

from __future__ import annotations

import logging

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from core.config import Settings
from core.db.repositories import jobs, measures
from core.jobs.spec import QUEUES
from core.services.hints import ENOUGH, trim_hints
from core.services.lifecycle import reap
from core.services.removal import finish_all
from core.services.staging import remove_dead_staging
from core.services.transaction import transaction, want_hint
from core.services.uploads import remove_expired, remove_orphans
from core.storage.blobs import BlobStore

log = logging.getLogger(__name__)

LOCK_SECONDS, SECOND_LOCK_SECONDS = 0.5, 5.0
"""The wait for the row of a lost job: first for that of each, then for those that were locked."""
IDLE_SECONDS = 10.0
"""A reaper that is frozen or starved keeps the rows of jobs no longer from those who go on."""
SHORTEST_PAUSE_SECONDS = 0.5


def sweep(factory: sessionmaker[Session], settings: Settings) -> None:
    """Do one round; several workers may be at it.

    One that is frozen within it keeps no other from reaping, nor from renewing hints.
    """
    idle_seconds = min(IDLE_SECONDS, settings.lease_seconds)
    _reap_lost(factory, idle_seconds)
    _renew_hints(factory, settings, idle_seconds)
    remove_dead_staging(factory, BlobStore(settings.data_dir))
    finish_all(factory, BlobStore(settings.data_dir))
    remove_expired(factory)
    remove_orphans(factory)
    _fold_measures(factory, idle_seconds)


def _reap_lost(factory: sessionmaker[Session], idle_seconds: float) -> None:
    with factory() as session:
        lost = jobs.expired(session)
    reaped = 0
    for wait in (LOCK_SECONDS, SECOND_LOCK_SECONDS):  # none keeps the others from being found
        locked = []
        for job_id in lost:
            try:
                with transaction(factory) as session:
                    jobs.be_brief(session, wait, idle_seconds)
                    reaped += reap(session, job_id)
            except DBAPIError as error:  # somebody has its row: a long commit
                log.warning("%s could not be looked at: %s", job_id, error)
                locked.append(job_id)
        lost = locked
    if reaped:
        log.warning("%d expired leases were reaped", reaped)


def _renew_hints(factory: sessionmaker[Session], settings: Settings, idle_seconds: float) -> None:
    # before the transaction: a broker that hangs must not keep the jobs' rows locked
    held = trim_hints(QUEUES)
    with transaction(factory) as session:
        jobs.be_brief(session, LOCK_SECONDS, idle_seconds)
        due = jobs.due_by_queue(session)
        # a queue with a hint for each due job needs no more: they would pile up in the broker
        lacking = [queue for queue in due if held.get(queue, 0) < min(due[queue], ENOUGH)]
        for job_id, queue in jobs.unhinted(session, settings.hint_age_seconds, lacking):
            want_hint(session, job_id, queue)


def pause_before_next(factory: sessionmaker[Session], settings: Settings) -> float:
    """Return the seconds to the next round: earlier than usual when a backoff ends before.

    Earlier, too, while a job waits: its hint may have gone to a worker that is frozen.
    """
    with factory() as session:
        due = jobs.seconds_to_next(session)
        waiting = jobs.overlooked(session, QUEUES, 0)
    pause = settings.reaper_seconds
    if waiting:
        pause = min(pause, settings.hint_age_seconds)
    if due is not None:
        pause = min(pause, max(SHORTEST_PAUSE_SECONDS, due))
    return pause


def _fold_measures(factory: sessionmaker[Session], idle_seconds: float) -> None:
    """Add what has happened to the totals, however much it is, in short transactions."""
    folded = measures.FOLD_ROWS
    while folded >= measures.FOLD_ROWS:
        with factory.begin() as session:
            jobs.be_brief(session, LOCK_SECONDS, idle_seconds)
            folded = measures.fold(session)
