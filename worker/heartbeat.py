"""Renews the lease of a running job from a thread of its own, whatever the slot is doing."""

from __future__ import annotations

import logging
import os
import threading
from contextvars import copy_context
from functools import partial

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from core.config import Settings
from core.db.repositories.jobs import Lease, renew

log = logging.getLogger(__name__)

Progress = tuple[str, float, float]


class Heartbeat:
    """Context manager around a claim; ``wake`` is a pipe that becomes readable on news."""

    def __init__(self, factory: sessionmaker[Session], lease: Lease, settings: Settings) -> None:
        self._factory = factory
        self._lease = lease
        self._settings = settings
        self._progress: Progress | None = None
        self._stop = threading.Event()
        # a thread begins without context: its records, too, are about this job
        run = partial(copy_context().run, self._run)
        self._thread = threading.Thread(target=run, name="heartbeat", daemon=True)
        self.wake, self._waker = os.pipe()
        self.cancelled = False
        self.lost = False

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self.wake)
        os.close(self._waker)

    def report(self, progress: Progress) -> None:
        """Keep the newest progress; it is written with the next beat."""
        self._progress = progress

    def _run(self) -> None:
        while not self._stop.wait(self._settings.heartbeat_seconds):
            self._beat()
            if self.cancelled or self.lost:
                os.write(self._waker, b"!")
            if self.lost:
                return

    def _beat(self) -> None:
        progress, self._progress = self._progress, None
        try:
            with self._factory.begin() as session:
                beat = renew(session, self._lease, self._settings.lease_seconds, progress)
        except SQLAlchemyError as error:
            # the lease may still be ours when the database is back
            log.warning("no heartbeat for %s: %s", self._lease.job_id, error)
            return
        if beat is None:
            self.lost = True
        elif beat.cancel_requested:
            self.cancelled = True
